use super::*;
use crate::stages::tests::{client, message, read};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::Write;
use zip::{ZipWriter, write::SimpleFileOptions};

const PROGRAM: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(members, SimpleFileOptions::default())
}
fn zip_with(members: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, octets) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(octets).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A message with a text and one attachment.
fn mail(media_type: &str, name: &str, octets: &[u8]) -> Message {
    let body = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nSee attachment.\r\n--b\r\nContent-Type: {media_type}\r\nContent-Disposition: attachment; \
         filename*=utf-8''{}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        name.bytes().map(|octet| format!("%{octet:02X}")).collect::<String>(),
        STANDARD.encode(octets),
    );
    message("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n", &body)
}

async fn report(settings: &str, message: &Message) -> Report {
    let (stages, found) = read(&format!("[[stage]]\ntype = \"attachments\"\n{settings}"));
    assert_eq!(found, Vec::<(String, String)>::new());
    let mut inspection = stages[0].stage.begin(&client()).await.unwrap();
    inspection.end_of_message(message).await.unwrap()
}
fn said(report: &Report) -> String {
    match &report.verdict {
        Verdict::Refuse(refusal) => refusal.to_string(),
        Verdict::Quarantine(hold) => format!("hold {}: {}", hold.class.as_str(), hold.reason),
        _ => String::new(),
    }
}
fn found(report: &Report, name: &str) -> Vec<String> {
    report.findings.iter().filter(|finding| finding.name == name).map(|finding| finding.value.to_string()).collect()
}

#[tokio::test]
async fn by_default_programs_are_refused_wherever_they_are() {
    let refused = |name: &str, what: &str| format!("550 5.7.1 attachment not accepted here: {name} ({what})");
    let program = mail("application/pdf", "invoice.pdf", PROGRAM);
    assert_eq!(said(&report("", &program).await), refused("invoice.pdf", "executable"));
    let inside = mail("application/zip", "invoice.zip", &zip(&[("readme.txt", b"hello"), ("invoice.pdf", PROGRAM)]));
    assert_eq!(said(&report("", &inside).await), refused("invoice.zip/invoice.pdf", "executable"));
    let named = mail("application/zip", "a.zip", &zip(&[("b.js", b"hello")]));
    assert_eq!(said(&report("", &named).await), refused("a.zip/b.js", ".js"));
    let disguised = mail("text/plain", "invoice\u{202e}fdp.exe", b"hello");
    assert_eq!(said(&report("", &disguised).await), refused("invoice?fdp.exe", "name-bidi"));
    assert_eq!(said(&report("", &mail("text/plain", "a.exe. ", b"hello")).await), refused("a.exe. ", ".exe"));
    assert_eq!(said(&report("", &mail("text/plain", "a.txt", b"hello")).await), "");
}

#[tokio::test]
async fn what_becomes_of_which_type_is_configured() {
    let archive = mail("application/zip", "a.zip", &zip(&[("b.exe", PROGRAM)]));
    let cases = [
        ("quarantine_types = [\"executable\"]\nquarantine_extensions = [\"exe\"]", "hold policy: attachment a.zip/b.exe: executable"),
        ("refuse_types = [\"zip\"]\nrefuse_extensions = []", "550 5.7.1 attachment not accepted here: a.zip (zip)"),
        ("refuse_types = []\nrefuse_extensions = [\".EXE\"]", "550 5.7.1 attachment not accepted here: a.zip/b.exe (.exe)"),
        ("refuse_types = []\nrefuse_extensions = []", ""),
    ];
    for (settings, expected) in cases {
        assert_eq!(said(&report(settings, &archive).await), expected, "{settings}");
    }
    let page = message("Content-Type: text/html\r\n", "<html>hello</html>");
    assert_eq!(said(&report("refuse_types = [\"html\"]", &page).await), "", "a body is no attachment");
    let page = mail("text/html", "a.html", b"<html>hello</html>");
    assert_eq!(said(&report("refuse_types = [\"html\"]", &page).await), "550 5.7.1 attachment not accepted here: a.html (html)");
}

#[tokio::test]
async fn what_is_tagged_is_delivered_with_a_field() {
    let archive = mail("application/zip", "a \"b\".zip", &zip(&[("c.exe", PROGRAM)]));
    let settings = "tag_types = [\"executable\", \"zip\"]\nrefuse_extensions = []";
    let report = report(settings, &archive).await;
    assert_eq!(report.verdict, Verdict::Deliver);
    let edits = crate::message::Edits(report.edits);
    let fields = edits.apply(&crate::message::HeaderBlock::new("A: b\r\n".into()));
    let expected = "X-Octroi-Attachment: executable; file=\"a ?b?.zip/c.exe\"\r\nX-Octroi-Attachment: zip; file=\"a ?b?.zip\"\r\nA: b\r\n";
    assert_eq!(fields, expected);
    let (stages, _) = read(&format!("[[stage]]\ntype = \"attachments\"\n{settings}\n[[stage]]\nname = \"b\"\ntype = \"attachments\"\n"));
    assert_eq!(stages.iter().map(|stage| stage.stage.may_edit()).collect::<Vec<_>>(), [true, false], "only who tags ends a segment");
}

#[tokio::test]
async fn what_cannot_be_looked_into_is_treated_as_configured() {
    let secret = zip_with(&[("a.txt", b"hello")], SimpleFileOptions::default().with_aes_encryption(zip::AesMode::Aes256, "infected"));
    let secret = mail("application/zip", "a.zip", &secret);
    let rar = mail("application/octet-stream", "a.rar", b"Rar!\x1a\x07\x00 and more");
    let bomb = mail("application/zip", "a.zip", &zip(&[("b", &vec![0; 20 << 20])]));
    let cases = [
        (&secret, "", ""),
        (&secret, "encrypted = \"quarantine\"", "hold policy: attachment a.zip/a.txt: encrypted"),
        (&rar, "", ""),
        (&rar, "unreadable = \"reject\"", "550 5.7.1 attachment not accepted here: a.rar (unreadable)"),
        (&bomb, "", "hold policy: attachment a.zip: more than can be looked into, ratio"),
        (&bomb, "oversize = \"reject\"", "550 5.7.1 attachment not accepted here: a.zip (more than can be looked into, ratio)"),
    ];
    for (message, settings, expected) in cases {
        assert_eq!(said(&report(settings, message).await), expected, "{settings}");
    }
    let report = report("", &secret).await;
    assert_eq!(
        (found(&report, "attachments.encrypted"), found(&report, "attachments.flags")),
        (vec!["true".into()], vec!["encrypted".into()])
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_taken_apart_is_oversize() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let report = report("", &message("A: b\r\n", &nested)).await;
    assert_eq!(found(&report, "attachments.limit"), ["structure"]);
    assert_eq!(said(&report), "hold policy: attachment the message: structure too complex");
}

#[tokio::test]
async fn contradictions_are_told() {
    let cases = [
        ("image/jpeg", "a.jpg", PROGRAM, vec!["a.jpg: dos-exe, declared image/jpeg"]),
        ("application/octet-stream", "a.jpg", b"%PDF-1.4\n", vec!["a.jpg: pdf, named .jpg"]),
        ("image/jpeg", "a.jpg", b"\x89PNG\r\n\x1a\n", vec![]),
        ("application/vnd.ms-excel", "a.xls", b"<html><table></table></html>", vec![]),
        ("application/msword", "a.doc", b"{\\rtf1 hello}", vec![]),
    ];
    for (media_type, name, octets, expected) in cases {
        assert_eq!(found(&report("", &mail(media_type, name, octets)).await, "attachments.mismatch"), expected);
    }
    let picture = mail("image/jpeg", "a.jpg", b"%PDF-1.4\n");
    assert_eq!(said(&report("mismatch = \"quarantine\"", &picture).await), "hold policy: attachment a.jpg: pdf, declared image/jpeg");
}

#[tokio::test]
async fn findings_tell_files_names_and_digests() {
    let archive = mail("application/zip", "a.zip", &zip(&[("b/c.TXT", b"hello")]));
    let report = report("", &archive).await;
    assert_eq!((found(&report, "attachments.count"), found(&report, "attachments.files")), (vec!["1".into()], vec!["2".into()]));
    assert_eq!(found(&report, "attachments.type"), ["archive", "plain", "text", "zip"]);
    assert_eq!(found(&report, "attachments.name"), ["a.zip", "a.zip/b/c.TXT"]);
    assert_eq!(found(&report, "attachments.extension"), ["txt", "zip"]);
    assert_eq!(found(&report, "attachments.sha256")[1], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    let names: Vec<String> = (0..500).map(|n| format!("{n}.{n}")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let report = self::report("", &mail("application/zip", "a.zip", &zip(&members))).await;
    assert!(report.findings.len() < 200, "{}", report.findings.len());
    assert_eq!(found(&self::report("", &message("A: b\r\n", "hello")).await, "attachments.count"), Vec::<String>::new());
}

#[test]
fn mistakes_are_told_with_their_places() {
    let cases = [
        ("refuse_types = [\"executables\"]", "\"executables\"", "did you mean `executable`?"),
        ("tag_types = [\"xyzzyplugh\"]", "\"xyzzyplugh\"", "there is no type of files `xyzzyplugh`"),
        ("refuse_extensions = [\"tar.gz\"]", "\"tar.gz\"", "`tar.gz` is no extension"),
        ("encrypted = \"refuse\"", "\"refuse\"", "is none of \"report\", \"tag\", \"strip\", \"quarantine\", \"reject\""),
        ("contact = \"a\\nb\"", "\"a\\nb\"", "on one line"),
    ];
    for (settings, place, text) in cases {
        let (_, found) = read(&format!("[[stage]]\ntype = \"attachments\"\n{settings}"));
        assert!(found.iter().any(|(at, why)| at == place && why.contains(text)), "{settings}: {found:?}");
    }
}

async fn octets(message: &Message, edits: Vec<Edit>) -> String {
    let edited = message.edited(&crate::message::Edits(edits));
    String::from_utf8(edited.content.slice(0..u64::MAX).await.unwrap().to_vec()).unwrap()
}

const STRIP: &str = "strip_types = [\"executable\"]\nstrip_extensions = [\"exe\"]\ncontact = \"helpdesk@example.org\"";

#[tokio::test]
async fn what_is_stripped_has_a_note_in_its_place_and_the_original_is_held() {
    let message = mail("application/zip", "a.zip", &zip(&[("b.exe", PROGRAM)]));
    let report = report(STRIP, &message).await;
    assert_eq!(report.verdict, Verdict::Deliver);
    let hold = report.hold_original.clone().unwrap();
    assert_eq!(
        (hold.class, &*hold.reason),
        (HoldClass::Policy, "original of a message that was delivered without a.zip/b.exe: executable")
    );
    assert_eq!(found(&report, "attachments.stripped"), ["a.zip/b.exe: executable"]);
    let stripped = octets(&message, report.edits).await;
    let before = octets(&message, vec![]).await;
    let (start, end) = (before.find("Content-Type: application/zip").unwrap(), before.find("\r\n--b--").unwrap());
    let field = "X-Octroi-Attachment: removed, executable; file=\"a.zip/b.exe\"\r\n";
    assert!(stripped.starts_with(&format!("{field}{}Content-Type: text/plain; charset=utf-8\r\n", &before[..start])), "{stripped}");
    assert!(stripped.ends_with(&before[end..]));
    assert!(stripped.replace("=\r\n", "").contains("helpdesk@example.org") && !stripped.contains("application/zip; "), "{stripped}");
}

#[tokio::test]
async fn all_copies_go_and_other_parts_stay_octet_for_octet() {
    let program = format!(
        "Content-Type: application/octet-stream; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        STANDARD.encode(PROGRAM)
    );
    let kept = "Content-Type: image/png; name=b.png\r\n\r\n\u{89}PNG";
    let body = format!("notice\r\n--b\r\n\r\ntext\r\n--b\r\n{program}\r\n--b\r\n{kept}\r\n--b\r\n{program}\r\n--b--\r\nrest\r\n");
    let message = message("Content-Type: multipart/mixed; boundary=b\r\n", &body);
    let report = report(STRIP, &message).await;
    let stripped = octets(&message, report.edits).await;
    let parts: Vec<_> = stripped.split("\r\n--b").collect();
    assert_eq!((parts.len(), parts[1], parts[3], parts[5]), (6, "\r\n\r\ntext", &*format!("\r\n{kept}"), "--\r\nrest\r\n"));
    assert!(parts[2] == parts[4] && parts[2].contains("was removed"), "{stripped}");
}

#[tokio::test]
async fn a_message_that_is_the_attachment_becomes_the_note() {
    let headers =
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n";
    let message = message(headers, &format!("{}\r\n", STANDARD.encode(PROGRAM)));
    let report = report(STRIP, &message).await;
    assert!(report.hold_original.is_some());
    let stripped = octets(&message, report.edits).await;
    assert!(!stripped.contains("octet-stream;") && !stripped.contains(&STANDARD.encode(PROGRAM)), "{stripped}");
    let readings = crate::message::readings::of(stripped, &crate::message::budget::Budget::new(1 << 20)).unwrap();
    assert_eq!((readings.anomalies(), &*readings.all()[0].content_type, readings.all().len()), (&[][..], "text/plain", 1));
}

#[tokio::test]
async fn what_cannot_be_cut_out_without_a_doubt_is_held_whole() {
    let program = format!(
        "Content-Type: application/octet-stream; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        STANDARD.encode(PROGRAM)
    );
    let mixed = format!("From: a@example.org\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n{program}\r\n--c--");
    let held = "it is in a message within, or signed";
    let cases = [
        ("mixed", format!("--b\r\nContent-Type: message/rfc822\r\n\r\n{mixed}\r\n--b--\r\n"), held),
        ("digest", format!("--b\r\n\r\n{mixed}\r\n--b--\r\n"), held),
        (
            "signed; protocol=x; micalg=y",
            format!("--b\r\n{mixed}\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n"),
            held,
        ),
        // The same twice: once where it can be cut out, once where it cannot.
        ("mixed", format!("--b\r\n{program}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{mixed}\r\n--b--\r\n"), held),
        ("mixed", format!("--b\r\n{program}\r\n"), "programs could cut the message differently"),
        ("mixed", format!("--b\r\n{program}=junk\r\n--b--\r\n"), "programs could cut the message differently"),
    ];
    for (kind, body, why) in cases {
        let message = message(&format!("Content-Type: multipart/{kind}; boundary=b\r\n"), &body);
        let report = report(STRIP, &message).await;
        assert!(said(&report).ends_with(&format!("a.exe: executable; not taken out, {why}")), "{}: {body}", said(&report));
        assert!(report.edits.is_empty() && report.hold_original.is_none() && found(&report, "attachments.stripped").is_empty());
    }
}

#[tokio::test]
async fn what_is_stricter_than_stripping_stands() {
    let both = mail("application/zip", "a.zip", &zip(&[("b.exe", PROGRAM), ("c.js", b"x")]));
    let report = report(&format!("{STRIP}\nrefuse_extensions = [\"js\"]"), &both).await;
    assert_eq!(said(&report), "550 5.7.1 attachment not accepted here: a.zip/c.js (.js)");
    assert!(report.edits.is_empty() && report.hold_original.is_none());
}
