// Keys for the quarantine: what they do, links and buttons do as well.
(() => {
  const rows = [...document.querySelectorAll("#entries tbody tr")];
  const typing = (target) => target.closest("input:not([type=checkbox]), textarea, select");
  const click = (selector) => document.querySelector(selector)?.click();
  const help = document.querySelector(".keys");
  let here = -1;

  const go = (to) => {
    if (!rows.length) return;
    rows[here]?.classList.remove("here");
    here = Math.max(0, Math.min(rows.length - 1, to));
    rows[here].classList.add("here");
    rows[here].scrollIntoView({ block: "nearest" });
    rows[here].querySelector("td.subject a").focus({ preventScroll: true });
  };
  const boxes = () => rows.map((row) => row.querySelector("input[type=checkbox]")).filter(Boolean);
  const count = document.querySelector(".chosen-count");
  const all = document.querySelector("#all");
  const chosen = () => {
    const some = boxes().filter((box) => box.checked);
    for (const box of boxes()) box.closest("tr").classList.toggle("chosen", box.checked);
    if (count) count.textContent = some.length ? `${some.length} ${count.dataset.some}` : count.dataset.none;
    if (all) { all.checked = some.length > 0 && some.length === rows.length; all.indeterminate = some.length > 0 && some.length < rows.length; }
  };
  const decide = (action) => {
    if (here >= 0 && !boxes().some((box) => box.checked)) { rows[here].querySelector("input[type=checkbox]").checked = true; chosen(); }
    click(`.tools button[value=${action}]`);
  };

  if (rows.length) {
    if (help) help.hidden = false;
    if (all) {
      all.closest("label").hidden = false;
      all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; chosen(); });
    }
    document.addEventListener("change", (event) => { if (event.target.closest("#entries")) chosen(); });
    chosen();
  }
  const keys = rows.length || document.querySelector("#search") ? {
    j: () => go(here + 1),
    k: () => go(here - 1),
    x: () => { const box = rows[here]?.querySelector("input[type=checkbox]"); if (box) { box.checked = !box.checked; chosen(); } },
    Enter: () => { if (here >= 0) location.href = rows[here].dataset.url; },
    "/": () => document.querySelector("#search")?.focus(),
    "?": () => { if (help) help.hidden = !help.hidden; },
    d: () => decide("release"),
    Delete: () => decide("delete"),
  } : document.querySelector(".entry") ? {
    j: () => click("#after"),
    k: () => click("#before"),
    d: () => document.querySelector("#release")?.focus(),
    Delete: () => click("#delete"),
    Escape: () => click("#list"),
  } : {};
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
    if (event.key === "Enter" && event.target.closest("a, button, input, summary")) return;
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
