//! Whatever goes wrong is told to a person in his language, and on a page.
use super::people::Person;
use super::review::{gate, hold};
use crate::support::{Mta, Web};

/// What the page says that comes of sending a form: the page itself, or the one it leads to.
fn told(web: &mut Web, path: &str, fields: &[(&str, &str)]) -> String {
    let csrf = web.get("/account").csrf();
    let page = web.post(path, &[&[("csrf", csrf.as_str())], fields].concat());
    if page.status == 303 { web.get(page.to()).text() } else { page.text() }
}

#[test]
fn what_is_refused_is_refused_in_french() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["senior", "administrator", "auditor"], &["*"]);
    let id = hold(&gate, "hold", &["b@example.org"]);
    let virus = hold(&gate, "virus", &["b@example.org"]);
    assert!(gate.octroi(&["quarantine", "hold", &id], "").success);
    let mut web = anna.web(&gate).with("Accept-Language", "fr");
    let entry = format!("/quarantine/{id}");
    let virus = format!("/quarantine/{virus}");
    type Form<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let forms: &[Form<'_>] = &[
        (&entry, &[("action", "delete"), ("confirmed", "yes")], "Il est sous conservation légale."),
        (&entry, &[("action", "note"), ("text", "")], "La note ne dit rien."),
        (&entry, &[("action", "assign"), ("to", "personne")], "Il n’y a pas de compte personne."),
        (&entry, &[("action", "ask")], "Une seule personne suffit à le libérer"),
        (&entry, &[("action", "approve")], "Personne ne demande plus sa libération."),
        (&entry, &[("action", "nonsense")], "n’est pas une action possible ici."),
        (&entry, &[("action", "release"), ("to", "x@example.org")], "Il n’est pas retenu pour x@example.org"),
        (&entry, &[("action", "release"), ("allow", "address"), ("days", "99")], "au plus 45 jours."),
        (&entry, &[("action", "release"), ("allow", "address"), ("days", "x")], "n’est pas un nombre de jours."),
        (&virus, &[("action", "release")], "se libère à deux"),
        ("/quarantine", &[("action", "delete"), ("id", &id), ("confirmed", "yes")], "Il est sous conservation légale."),
        ("/quarantine/allowances", &[("number", "x")], "Rien ici"),
        ("/accounts", &[("name", "anna"), ("role", "auditor")], "Un compte anna existe déjà."),
        ("/accounts", &[("name", "!"), ("role", "auditor")], "Le nom d’un compte"),
        ("/accounts", &[("name", "bert")], "au moins un rôle."),
        ("/accounts", &[("name", "bert"), ("role", "reviewer"), ("domains", "nowhere")], "ni un domaine de destinataires"),
        ("/accounts/anna/disable", &[], "C’est votre propre compte"),
        ("/account/language", &[("language", "xx")], "La console ne parle pas cette langue."),
        ("/account/tokens/revoke", &[("id", "x")], "Il n’y a pas de jeton x."),
    ];
    for (path, fields, said) in forms {
        let page = told(&mut web, path, fields);
        assert!(page.contains(said), "{path} {fields:?}: {}", page.split("<main").nth(1).unwrap_or(&page));
    }
    let addresses = [
        ("/quarantine?state=x", 400, "n’est pas une valeur possible de « state »"),
        ("/quarantine?after=hier", 400, "« hier » n’est pas une date"),
        ("/quarantine?at=%2F", 400, "Cette adresse demande ce qui n’existe pas."),
        ("/messages.csv?since=jamais", 400, "Cette adresse demande ce qui n’existe pas."),
        ("/audit?below=x", 400, "contient quelque chose d’illisible."),
        ("/nothing", 404, "Rien ici"),
        ("/sign-out", 405, "ne répond pas à ce genre de requête"),
    ];
    for (path, status, said) in addresses {
        let page = web.get(path).must(status);
        assert!(page.text().contains(said) && page.text().contains("lang=\"fr\""), "{path}: {}", page.text());
    }
    let page = web.send("POST", &entry, &[("Content-Type", "text/plain")], b"x").must(400).text();
    assert!(page.contains("Le formulaire n’est pas arrivé entier"), "{page}");
    // What happened stands in his language, too.
    web.get(&format!("{entry}?tab=headers")).must(200);
    let page = web.get(&entry).must(200).text();
    assert!(page.contains("l’a regardé") && page.contains("en-têtes") && !page.contains(">headers<"), "{page}");
    let audit = web.get("/audit").must(200).text();
    assert!(audit.contains("<small>quoi</small> en-têtes"), "{audit}");
    // Programs are told in English, whatever they say they like.
    let mut api = super::review::token(&gate, "anna", &["quarantine.read"]).with("Accept-Language", "fr");
    let answer = api.get("/api/v1/quarantine?state=x").must(400).json();
    assert_eq!(answer["detail"], "“x” is nothing that “state” can be.");
}

#[test]
fn too_many_attempts_are_answered_in_french() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let mut web = Web::new(gate.console()).with("Accept-Language", "fr");
    let page = (0..50).map(|_| web.post("/sign-in", &[("name", "a"), ("password", "b")])).find(|page| page.status == 429);
    let text = page.expect("nobody is throttled").text();
    assert!(text.contains("Trop de tentatives") && text.contains("avant de réessayer"), "{text}");
}
