use super::{shapes, *};
use proptest::prelude::*;

fn read(text: impl Into<Bytes>) -> Readings {
    of(text, &Budget::new(1 << 30)).unwrap()
}
fn told(readings: &Readings) -> Vec<(&str, Vec<&str>, &[u8])> {
    readings.all().iter().map(|r| (&*r.content_type, r.names.iter().map(|name| &**name).collect(), &r.octets[..])).collect()
}
fn anomalies(readings: &Readings) -> Vec<&'static str> {
    readings.anomalies().iter().map(|found| found.anomaly.as_str()).collect()
}

#[test]
fn a_well_formed_message_has_one_reading_of_each_part_in_order() {
    let text = "From: a@example.org\r\nContent-Type: Multipart/Mixed; boundary=b\r\n\r\n\
        This is a multi-part message in MIME format.\r\n\
        --b\r\n\r\nhello\r\n\
        --b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=\"=_c\"\r\n\r\n\
        --=_c\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n\
        --=_c\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A9.png\r\n\r\npng\r\n--=_c--\r\n\
        \r\n--b--\r\n";
    let readings = read(text);
    let all = told(&readings);
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(all[0], ("text/plain", vec![], &b"hello"[..]));
    assert_eq!(all[1], ("application/pdf", vec!["x.pdf"], &b"hello"[..]));
    assert_eq!((all[2].0, all[2].2.starts_with(b"Subject: inner")), ("message/rfc822", true));
    assert_eq!(all[3], ("text/plain", vec![], &b"a=b"[..]));
    assert_eq!(all[4], ("image/png", vec!["é.png"], &b"png"[..]));
    assert_eq!((anomalies(&readings), readings.parts()), (vec![], 7));
    assert!(readings.all().iter().all(|reading| reading.plain));
}

#[test]
fn the_payload_is_found_in_every_shape() {
    let shapes = shapes::all();
    assert!(shapes.len() >= 20);
    for shapes::Shape { name, anomaly, message } in shapes {
        let readings = read(message.clone());
        let eicar = shapes::eicar();
        assert!(readings.all().iter().any(|r| r.octets.starts_with(eicar.as_bytes())), "{name}: {:?}", told(&readings));
        assert!(anomalies(&readings).contains(&anomaly), "{name}: {:?}", anomalies(&readings));
        // With the line ends of mail at rest, too.
        let unix: Vec<u8> = message.iter().copied().filter(|octet| *octet != b'\r').collect();
        assert!(read(unix).all().iter().any(|r| r.octets.starts_with(eicar.as_bytes())), "{name} without CR");
    }
}

#[test]
fn there_is_a_reading_of_whatever_it_is() {
    for text in ["", "\r\n", "no header", "A: b\r\n", "Content-Type: multipart/mixed; boundary=x\r\n\r\n", "\r\n\r\nbody"] {
        assert!(!read(text).all().is_empty(), "{text:?}");
    }
    assert_eq!(told(&read("Subject: x\r\n\r\nhello\r\n")), [("text/plain", vec![], &b"hello\r\n"[..])]);
}

#[test]
fn carriage_returns_alone_are_line_ends_to_some() {
    let readings = read("Content-Type: text/plain\r\nX: y\rContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n");
    assert!(told(&readings).iter().any(|(_, _, octets)| *octets == b"hello"));
    assert_eq!(anomalies(&readings), ["bare_cr"]);
}

#[test]
fn anomalies_have_a_place() {
    let text = "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nbody";
    assert_eq!(read(text).anomalies(), [Found { anomaly: Anomaly::TypeRepeated, at: 26 }]);
    // What is in an encoded message has the place of that.
    let inner = "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n";
    let encoded = ::base64::Engine::encode(&::base64::engine::general_purpose::STANDARD, inner);
    let text = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}");
    let at = text.find(&encoded).unwrap() as u64;
    assert_eq!(read(text).anomalies()[1], Found { anomaly: Anomaly::EncodedMessage, at });
}

#[test]
fn what_is_nobodys_mail_is_too_complex() {
    let complex = |text: String| matches!(of(text, &Budget::new(1 << 30)), Err(MimeError::TooComplex(_)));
    assert!(complex("Content-Type: message/rfc822\r\n\r\n".repeat(200)), "levels");
    let parts = |n: usize| format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(n));
    assert!(!complex(parts(1_000)));
    assert!(complex(parts(30_000)), "delimiters");
    let nested: String = (0..90).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    assert!(complex(nested + &"x".repeat(1 << 20)), "every level reads all of it");
    let mut ways = "Content-Type: multipart/mixed".to_owned();
    (0..16).for_each(|n| ways += &format!("; boundary=b{n}"));
    ways += "\r\n\r\n";
    (0..16)
        .for_each(|n| ways += &format!("--b{n}\r\n{}\r\n", "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n".repeat(4)));
    assert!(!complex(ways), "many ways, and little of it");
}

#[test]
fn memory_is_counted_and_given_back() {
    let budget = Budget::new(64 << 10);
    let small = of(shapes::all().remove(0).message, &budget).unwrap();
    assert!((100..10_000).contains(&budget.used()), "{}", budget.used());
    drop(small);
    assert_eq!(budget.used(), 0);
    let large = format!("Content-Transfer-Encoding: base64\r\n\r\n{}", "aGVs".repeat(30_000));
    assert_eq!(of(large, &budget).unwrap_err(), MimeError::Full);
    assert_eq!(budget.used(), 0);
}

/// Pieces that malformed mail is made of.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "Content-Type: multipart/mixed; boundary=b\r\n",
            "Content-Type: message/rfc822\r\n",
            "Content-Type: text/plain; name=\"x",
            "Content-Type: multipart/digest; boundary*0=b; boundary=\"c \"\r\n",
            "Content-Transfer-Encoding: base64\r\n",
            "Content-Transfer-Encoding: quoted-printable (\r\n",
            "Content-Disposition: a; filename*1*=%41; filename*0==?utf-8?Q?=4?=\r\n",
            "\r\n",
            "\n",
            "\r",
            " \r\n",
            "--b\r\n",
            "--b--",
            " --B\r\n",
            "aGVsbG8=",
            "=3d= \r\n",
            "begin 644 x\r\n#0V%T\r\nend\r\n",
            "=ybegin name=x\r\n=",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_read_and_what_comes_out_is_bounded(fragments in prop::collection::vec(fragment(), 0..60)) {
        let octets = fragments.concat();
        let budget = Budget::new(1 << 30);
        match of(octets.clone(), &budget) {
            Ok(readings) => {
                prop_assert!(!readings.all().is_empty());
                prop_assert!(readings.all().iter().all(|reading| reading.octets.len() <= 32 * octets.len() + 64));
                prop_assert!(readings.anomalies().iter().all(|found| found.at <= octets.len() as u64));
                let held: usize = readings.all().iter().map(|reading| reading.octets.len()).sum();
                prop_assert!(held as u64 <= budget.used() + octets.len() as u64 * readings.all().len() as u64, "{held} of {}", budget.used());
            }
            Err(error) => prop_assert!(matches!(error, MimeError::TooComplex(_)), "{error}"),
        }
        prop_assert_eq!(budget.used(), 0);
    }

    /// What another parser finds in a message is among the readings of it.
    #[test]
    fn what_another_parser_finds_is_among_the_readings(parts in prop::collection::vec("[a-z ]{1,60}", 1..5), boundary in "[A-Za-z0-9'_=?]{1,30}") {
        let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
        parts.iter().for_each(|part| text += &format!("--{boundary}\r\nContent-Type: application/x\r\n\r\n{part}\r\n"));
        text += &format!("--{boundary}--\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let content = Content::from_bytes(text.clone());
        let view = runtime.block_on(super::super::mime::parse(&content)).unwrap();
        let readings = read(text.clone());
        for part in view.parts().iter().filter(|part| !part.content_type.starts_with("multipart/")) {
            let body = &text.as_bytes()[part.body.start as usize..part.body.end as usize];
            prop_assert!(readings.all().iter().any(|reading| reading.octets == body));
        }
    }
}
