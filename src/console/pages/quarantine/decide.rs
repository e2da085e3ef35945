//! What is done with one entry.
use super::{all_are_his, entry_for, his_recipients, not_his, query::Wanted, visible};
use crate::accounts::Permission;
use crate::audit::{Action, Event};
use crate::console::{Console, Error, Fields, Flash, Frame, Language, Posted, Said, Viewer, to_the_end};
use crate::gate::{allow as gate, release::Released};
use crate::journal::queue_id;
use crate::quarantine::{Ask, By, Claim, Entry, distinct};
use axum::{
    extract::{Path, State},
    response::Response,
};

pub(super) async fn decide(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(id): Path<String>,
    wanted: Wanted,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let back = format!("/quarantine/{id}{}", wanted.query());
    let action = fields.get("action").to_owned();
    if action == "export" {
        return super::bulk::export(&console, &viewer, &[id]).await;
    }
    if action == "delete" && !fields.has("confirmed") {
        return super::bulk::confirm(&console, &viewer, frame, "delete", &[id], &wanted, &back).await;
    }
    let after = if action == "delete" { format!("/quarantine{}", wanted.query()) } else { back.clone() };
    match act(&console, &viewer, frame.language, &action, &id, &fields).await {
        Ok(flash) => {
            let to = if flash.good { after } else { back };
            Ok(flash.at(&to))
        }
        // What somebody else has done meanwhile is said where it can be seen.
        Err(Error::Conflict(why) | Error::Bad(why)) => Ok(Flash::bad(why.to(frame.language)).at(&back)),
        Err(error @ Error::Full(_)) => Ok(Flash::bad(error.sentence(frame.language)).at(&back)),
        Err(error) => Err(error),
    }
}

/// Does one thing with one entry, to its end; what is said of it, good or bad.
pub(super) async fn act(
    console: &Console,
    viewer: &Viewer,
    language: Language,
    action: &str,
    id: &str,
    fields: &Fields,
) -> Result<Flash, Error> {
    let (console, viewer, fields) = (console.clone(), viewer.clone(), fields.clone());
    let (action, id) = (action.to_owned(), id.to_owned());
    to_the_end(async move { done(&console, &viewer, language, &action, &id, &fields).await }).await
}

async fn done(console: &Console, viewer: &Viewer, language: Language, action: &str, id: &str, fields: &Fields) -> Result<Flash, Error> {
    match action {
        "release" => release(console, viewer, language, id, fields).await,
        "ask" => ask(console, viewer, language, id, fields).await,
        "approve" => approve(console, viewer, language, id).await,
        "deny" => deny(console, viewer, language, id).await,
        "delete" => delete(console, viewer, language, id).await,
        "hold" | "lift" => hold(console, viewer, language, id, action == "hold").await,
        "note" => note(console, viewer, language, id, fields.raw("text")).await,
        "assign" => assign(console, viewer, language, id, fields.get("to")).await,
        _ => Err(Error::Bad(Said::of("error.action").and("action", action))),
    }
}

/// In his name, with its record.
fn by<'a>(viewer: &'a Viewer, event: Event<'_>) -> By<'a> {
    By { name: viewer.name(), record: Some(event.statement()) }
}

/// A release as programs ask for it.
pub(in crate::console) async fn released(
    console: &Console,
    viewer: &Viewer,
    id: &str,
    chosen: Vec<String>,
    again: bool,
) -> Result<Vec<Released>, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineRelease, id).await?;
    let his = his_recipients(viewer, Permission::QuarantineRelease, &entry)?;
    let recipients = recipients(&entry, his, chosen, again)?;
    let (console, viewer) = (console.clone(), viewer.clone());
    to_the_end(async move {
        let claim = Claim { recipients: &recipients, again, by: viewer.name().into(), request: None };
        Ok(console.releaser().release(console.quarantine(), entry, claim, &viewer.actor).await?)
    })
    .await
}

/// What is done with one entry and says nothing but that it was done; `what` is the text of a note,
/// or whom it is assigned to.
pub(in crate::console) async fn free(console: &Console, viewer: &Viewer, action: &str, id: &str, what: &str) -> Result<(), Error> {
    let english = Language::English;
    match action {
        "delete" => delete(console, viewer, english, id).await,
        "hold" | "lift" => hold(console, viewer, english, id, action == "hold").await,
        "note" => note(console, viewer, english, id, what).await,
        _ => assign(console, viewer, english, id, what).await,
    }
    .map(drop)
}

async fn release(console: &Console, viewer: &Viewer, language: Language, id: &str, fields: &Fields) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineRelease, id).await?;
    let his = his_recipients(viewer, Permission::QuarantineRelease, &entry)?;
    let chosen: Vec<String> = fields.all("to").map(str::to_owned).collect();
    let again = fields.has("again");
    let recipients = recipients(&entry, his, chosen, again)?;
    // What is to be allowed is looked at first: that it cannot be is known before anything is sent.
    let allow = allow_of(fields, &recipients)?;
    if let (Some(_), Some(why)) = (&allow, console.quarantine().why_not_allowed(&entry)) {
        return Err(Error::Conflict((&why).into()));
    }
    let claim = Claim { recipients: &recipients, again, by: viewer.name().into(), request: None };
    let released = console.releaser().release(console.quarantine(), entry.clone(), claim, &viewer.actor).await?;
    let mut flash = said(&released, language);
    if let Some(allow) = allow.filter(|_| released.iter().all(|part| part.result.is_ok())) {
        // It is released, whatever becomes of this.
        let more = match gate::allow(console.quarantine(), &entry, &allow, &viewer.actor).await.map_err(Error::from) {
            Ok(()) => language.t("quarantine.done.allow").to_owned(),
            Err(error) => {
                flash.good = false;
                language.with("quarantine.done.not_allowed", &[("why", &error.sentence(language))])
            }
        };
        flash.text.push(' ');
        flash.text.push_str(&more);
    }
    Ok(flash)
}

/// Whom it goes to: those chosen, or all who do not have it.
fn recipients(entry: &Entry, his: Vec<String>, chosen: Vec<String>, again: bool) -> Result<Vec<String>, Error> {
    if let Some(stranger) = not_his(&his, &chosen) {
        return Err(stranger);
    }
    if !chosen.is_empty() {
        return Ok(distinct(&chosen));
    }
    let held = |address: &String| {
        entry.recipients.iter().any(|recipient| recipient.address == *address && recipient.state == crate::quarantine::RecipientState::Held)
    };
    let (open, had): (Vec<_>, Vec<_>) = his.into_iter().partition(held);
    // With none left the claim says who has released it.
    Ok(if open.is_empty() || again { open.into_iter().chain(had).collect() } else { open })
}

fn allow_of(fields: &Fields, recipients: &[String]) -> Result<Option<gate::Wanted>, Error> {
    let domain = match fields.get("allow") {
        "" => return Ok(None),
        "address" => false,
        "domain" => true,
        other => return Err(Error::Bad(Said::of("error.value").and("value", other).and("name", "allow"))),
    };
    let days = match fields.get("days") {
        "" => gate::Wanted::usual_days(),
        days => days.parse().map_err(|_| Error::Bad(Said::of("quarantine.error.days").and("value", days)))?,
    };
    let wanted = gate::Wanted { domain, recipients: recipients.to_vec(), days };
    wanted.lasts()?;
    Ok(Some(wanted))
}

/// The MTA's own words, for each part.
pub(super) fn said(released: &[Released], language: Language) -> Flash {
    let good = !released.is_empty() && released.iter().all(|part| part.result.is_ok() && part.unrecorded.is_none());
    let one = |part: &Released| {
        let to = part.recipients.join(", ");
        let sent = match &part.result {
            Ok(reply) => match queue_id(reply) {
                Some(queue) => language.with("quarantine.done.released_as", &[("to", &to), ("reply", reply), ("queue", &queue)]),
                None => language.with("quarantine.done.released", &[("to", &to), ("reply", reply)]),
            },
            Err(why) => language.with("quarantine.done.not_released", &[("to", &to), ("why", &Said::from(why).to(language))]),
        };
        match &part.unrecorded {
            Some(_) => format!("{sent} {}", language.with("quarantine.done.unrecorded", &[("to", &to)])),
            None => sent,
        }
    };
    let text = released.iter().map(one).collect::<Vec<_>>().join(" ");
    if good { Flash::good(text) } else { Flash::bad(text) }
}

async fn ask(console: &Console, viewer: &Viewer, language: Language, id: &str, fields: &Fields) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineRelease, id).await?;
    let his = his_recipients(viewer, Permission::QuarantineRelease, &entry)?;
    let again = fields.has("again");
    let recipients = recipients(&entry, his, fields.all("to").map(str::to_owned).collect(), again)?;
    let event = viewer.did(Action::ReleaseRequest).on(id).with("recipients", recipients.clone());
    let ask = Ask { by: by(viewer, event), recipients: &recipients, again, why: fields.raw("why") };
    console.quarantine().ask(&entry, ask).await?;
    Ok(Flash::good(language.t("quarantine.done.asked")))
}

async fn approve(console: &Console, viewer: &Viewer, language: Language, id: &str) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineApprove, id).await?;
    let gone = || Error::Conflict(Said::of("quarantine.error.nothing_asked"));
    let request = console.quarantine().pending(id).await?.ok_or_else(gone)?;
    let visible = visible(viewer.need(Permission::QuarantineApprove)?);
    if request.recipients.is_empty() || !request.recipients.iter().all(|address| visible.covers(address)) {
        return Err(Error::Forbidden);
    }
    let claim = Claim { recipients: &request.recipients, again: false, by: viewer.name().into(), request: Some(&request) };
    let released = console.releaser().release(console.quarantine(), entry, claim, &viewer.actor).await?;
    Ok(said(&released, language))
}

async fn deny(console: &Console, viewer: &Viewer, language: Language, id: &str) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineRelease, id).await?;
    let gone = || Error::Conflict(Said::of("quarantine.error.nothing_asked"));
    let request = console.quarantine().pending(&entry.id).await?.ok_or_else(gone)?;
    // One's own may be taken back by anybody.
    if request.asked_by != viewer.name() {
        his_recipients(viewer, Permission::QuarantineApprove, &entry)?;
    }
    let event = viewer.did(Action::ReleaseDeny).on(id).with("asked_by", &*request.asked_by);
    console.quarantine().deny(&request, by(viewer, event)).await?;
    Ok(Flash::good(language.t("quarantine.done.denied")))
}

async fn delete(console: &Console, viewer: &Viewer, language: Language, id: &str) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineDelete, id).await?;
    all_are_his(viewer, Permission::QuarantineDelete, &entry)?;
    console.quarantine().delete(id, by(viewer, viewer.did(Action::Delete).on(id))).await?;
    Ok(Flash::good(language.t("quarantine.done.deleted")))
}

async fn hold(console: &Console, viewer: &Viewer, language: Language, id: &str, on: bool) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineHold, id).await?;
    if !on {
        // Others may have put it there, for their recipients.
        all_are_his(viewer, Permission::QuarantineHold, &entry)?;
    }
    let action = if on { Action::Hold } else { Action::HoldLift };
    console.quarantine().legal_hold(id, on, by(viewer, viewer.did(action).on(id))).await?;
    Ok(Flash::good(language.t(if on { "quarantine.done.hold" } else { "quarantine.done.lift" })))
}

async fn note(console: &Console, viewer: &Viewer, language: Language, id: &str, text: &str) -> Result<Flash, Error> {
    entry_for(console, viewer, Permission::QuarantineNote, id).await?;
    console.quarantine().note(id, by(viewer, viewer.did(Action::Note).on(id)), text).await?;
    Ok(Flash::good(language.t("quarantine.done.note")))
}

/// To oneself (`me`), to nobody (`nobody`), or to another who may see it.
async fn assign(console: &Console, viewer: &Viewer, language: Language, id: &str, to: &str) -> Result<Flash, Error> {
    let entry = entry_for(console, viewer, Permission::QuarantineNote, id).await?;
    let to = match to {
        "" | "me" => Some(viewer.name().to_owned()),
        "nobody" => None,
        other => {
            let account = console
                .accounts()
                .account(other)
                .await
                .map_err(|_| Error::Conflict(Said::of("quarantine.error.no_account").and("name", other)))?;
            let recipients = entry.recipients.iter().map(|recipient| &*recipient.address);
            if !account.looks_after(Permission::QuarantineNote, recipients) {
                return Err(Error::Conflict(Said::of("quarantine.error.may_not_look").and("name", other)));
            }
            Some(account.name)
        }
    };
    let event = viewer.did(Action::Assign).on(id).with("to", to.clone());
    console.quarantine().assign(id, to.as_deref(), by(viewer, event)).await?;
    Ok(Flash::good(match to {
        Some(name) => language.with("quarantine.done.assigned", &[("to", &name)]),
        None => language.t("quarantine.done.unassigned").to_owned(),
    }))
}
