use super::*;
use crate::config::Explained;
use std::path::Path;
use toml::{Spanned, de::DeValue};

/// What is wrong with `value`, as far as our own schema says it: no more of JSON Schema than it uses.
fn check(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let mut complain = |why: &str| wrong.push(format!("{at}: {why}"));
    let Value::Object(schema) = schema else { return };
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array)
        && !any.iter().any(|one| valid(one, value))
    {
        complain("none of anyOf");
    }
    for case in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        if valid(&case["if"], value) {
            check(&case["then"], value, at, wrong);
        }
    }
    let mut complain = |why: &str| wrong.push(format!("{at}: {why}"));
    let is = match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        None => true,
        Some(other) => panic!("{other}"),
    };
    if !is {
        complain("another type");
    }
    if schema.get("const").is_some_and(|other| other != value)
        || schema.get("enum").and_then(Value::as_array).is_some_and(|all| !all.contains(value))
    {
        complain("another word");
    }
    for item in value.as_array().into_iter().flatten().zip(schema.get("items")) {
        check(item.1, item.0, &format!("{at}[]"), wrong);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(key) {
            wrong.push(format!("{at}: no {key}"));
        }
    }
    for (key, value) in object {
        let own = schema.get("properties").and_then(|properties| properties.get(key));
        match own.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => wrong.push(format!("{at}: unknown {key}")),
            Some(schema) => check(schema, value, &format!("{at}.{key}"), wrong),
            None => {}
        }
    }
}
fn valid(schema: &Value, value: &Value) -> bool {
    let mut wrong = Vec::new();
    check(schema, value, "", &mut wrong);
    wrong.is_empty()
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).unwrap().into(),
        DeValue::Float(float) => serde_json::from_str(float.as_str()).unwrap(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => object(table),
        DeValue::Datetime(_) => panic!(),
    }
}
fn object(table: &DeTable<'_>) -> Value {
    table
        .iter()
        .map(|(key, value): (_, &Spanned<DeValue<'_>>)| (key.get_ref().to_string(), json(value.get_ref())))
        .collect::<Map<_, _>>()
        .into()
}
fn mistakes(text: &str) -> Vec<String> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    assert!(syntax.is_empty(), "{syntax:?}");
    let mut wrong = Vec::new();
    check(&schema(), &object(table.get_ref()), "", &mut wrong);
    wrong
}

const LEAST: &str = "hostname = \"mx.example.org\"\n[[listener]]\nname = \"mx\"\naddress = \"127.0.0.1:25\"\ntls = \"off\"\n\
                     [upstream.default]\naddresses = [\"127.0.0.1:10025\"]\n";

#[test]
fn the_reference_fits_and_so_does_the_least() {
    assert_eq!(mistakes(REFERENCE), Vec::<String>::new());
    assert_eq!(mistakes(LEAST), Vec::<String>::new());
    let several = "[[tls.certificate]]\ncertificate = \"a\"\nprivate_key = \"b\"\n";
    assert_eq!(mistakes(&format!("{LEAST}{several}")), Vec::<String>::new());
}

#[test]
fn what_the_readers_would_not_take_does_not_fit() {
    for (more, place) in [
        ("[limits]\nmesage_size = \"1MiB\"\n", ".limits: unknown mesage_size"),
        ("[limits]\nrecipients = \"many\"\n", ".limits.recipients: another type"),
        ("[log]\nformat = \"xml\"\n", ".log.format: another word"),
        ("[[stage]]\ntype = \"clamd\"\naddress = \"/x\"\nrules = []\n", ".stage[]: unknown rules"),
        ("[[stage]]\ntype = \"clamav\"\n", ".stage[].type: another word"),
        ("[[stage]]\ntype = \"http\"\nurl = \"http://x/\"\ntoken = { path = \"x\" }\n", ".stage[].token: none of anyOf"),
        ("[[stage]]\nname = \"x\"\n", ".stage[]: no type"),
    ] {
        assert!(
            mistakes(&format!("{LEAST}{more}")).iter().any(|wrong| wrong == place),
            "{more}: {:?}",
            mistakes(&format!("{LEAST}{more}"))
        );
    }
    assert!(mistakes("").iter().any(|wrong| wrong == ": no hostname"));
}

#[test]
fn editors_are_told_what_the_reference_says() {
    let schema = schema();
    let size = &schema["properties"]["limits"]["properties"]["message_size"];
    assert_eq!((&size["type"], &size["default"]), (&"string".into(), &"50MiB".into()));
    assert!(size["description"].as_str().is_some_and(|text| !text.is_empty()), "{size}");
    assert_eq!(schema["properties"]["log"]["properties"]["format"]["enum"], json!(["text", "json"]));
}

#[test]
fn what_is_in_effect_is_told_with_its_origin() {
    let text = format!("{LEAST}[limits]\nrecipients = 200\n[[stage]]\ntype = \"http\"\nurl = \"http://127.0.0.1/\"\ntoken = \"sesame\"\n");
    let path = Path::new("octroi.toml");
    let config = Config::parse(path, text).unwrap();
    let shown = Explained { path, config: &config }.to_string();
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {shown}")).to_owned();
    let words = |start: &str| line(start).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("recipients"), "recipients = 200 octroi.toml:9");
    assert_eq!(words("message_size"), "message_size = \"50MiB\" default");
    assert_eq!(words("token"), "token = (secret) octroi.toml:13");
    assert!(shown.contains("\n[limits]\n") && shown.contains("\n[[stage]]\n") && shown.contains("\n[upstream.default]\n"), "{shown}");
    assert!(!shown.contains("sesame"));
}
