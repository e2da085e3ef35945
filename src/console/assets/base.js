"use strict";
// Passkeys: the one thing that no form can do by itself. The form's fields go to data-challenge,
// the authenticator answers, and the form is sent with its answer.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((item) => ({ ...item, id: bytes(item.id) }));

  async function create(options) {
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    options.excludeCredentials = known(options.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey: options });
    return {
      id: made.id, rawId: text(made.rawId), type: made.type, extensions: made.getClientExtensionResults(),
      response: {
        attestationObject: text(made.response.attestationObject),
        clientDataJSON: text(made.response.clientDataJSON),
        transports: made.response.getTransports ? made.response.getTransports() : undefined,
      },
    };
  }

  async function get(options) {
    options.challenge = bytes(options.challenge);
    options.allowCredentials = known(options.allowCredentials);
    const found = await navigator.credentials.get({ publicKey: options });
    return {
      id: found.id, rawId: text(found.rawId), type: found.type, extensions: found.getClientExtensionResults(),
      response: {
        authenticatorData: text(found.response.authenticatorData),
        clientDataJSON: text(found.response.clientDataJSON),
        signature: text(found.response.signature),
        userHandle: found.response.userHandle ? text(found.response.userHandle) : null,
      },
    };
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    form.hidden = false;
    const failed = form.querySelector("[data-failed]");
    form.addEventListener("submit", async (event) => {
      if (form.elements.answer.value) return;
      event.preventDefault();
      failed.hidden = true;
      try {
        const asked = await fetch(form.dataset.challenge, { method: "POST", body: new URLSearchParams(new FormData(form)) });
        if (!asked.ok) throw new Error(asked.statusText);
        const { publicKey } = await asked.json();
        const answer = form.dataset.passkey === "create" ? await create(publicKey) : await get(publicKey);
        form.elements.answer.value = JSON.stringify(answer);
        form.submit();
      } catch (error) {
        failed.textContent = failed.dataset.failed;
        failed.hidden = false;
      }
    });
  }
})();
