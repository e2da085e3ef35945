//! A JSON Schema of the configuration, for editors: made by the readers themselves. They read the
//! annotated reference, which has every key (a test sees to it), and what they ask for is what there
//! is; the comments of the reference explain it.
use super::Config;
use crate::value::settings::{
    Problems, Section,
    asked::{Key, Shape, Table},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, ops::Range};
use toml::de::DeTable;

const REFERENCE: &str = include_str!("../../deploy/octroi.toml");
/// The key that decides which others there are.
const KIND: &str = "type";

/// The schema (draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let (table, _) = DeTable::parse_recoverable(REFERENCE);
    let problems = Problems::default();
    // Files that the reference names are not there, which is no matter: they were asked for.
    drop(Config::read(&mut Section::root(&table, problems.clone())));
    let reader = Reader(problems.tables());
    let mut schema = reader.0.first().map_or_else(Map::new, |root| reader.object(&[(0, root)]));
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "The configuration of octroi".into());
    Value::Object(schema)
}

struct Reader(Vec<Table>);

/// Tables that are read alike, with their places.
type Alike<'a> = [(usize, &'a Table)];

impl Reader {
    /// Of a table that was read as these were.
    fn object(&self, alike: &Alike<'_>) -> Map<String, Value> {
        let mut keys: BTreeMap<&str, Vec<(usize, &Key)>> = BTreeMap::new();
        for (place, table) in alike {
            for key in &table.keys {
                keys.entry(key.name).or_default().push((*place, key));
            }
        }
        let required: Vec<&str> = keys
            .iter()
            .filter(|(_, asked)| asked.len() == alike.len() && asked.iter().all(|(_, key)| key.required && !key.optional))
            .map(|(name, _)| *name)
            .collect();
        let properties: Map<String, Value> = keys.iter().map(|(name, asked)| ((*name).to_owned(), self.key(asked))).collect();
        let mut object = Map::new();
        object.insert("type".into(), "object".into());
        object.insert("properties".into(), Value::Object(properties));
        object.insert("additionalProperties".into(), false.into());
        if !required.is_empty() {
            object.insert("required".into(), json!(required));
        }
        object
    }

    /// Of one key, as it was asked for in tables at these places.
    fn key(&self, asked: &[(usize, &Key)]) -> Value {
        let Some((_, key)) = asked.iter().find(|(_, key)| key.shape != Shape::Any).or_else(|| asked.first()) else { return true.into() };
        let below: Vec<(usize, &Table)> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, table)| asked.iter().any(|(place, key)| table.parent == Some((*place, key.name))))
            .collect();
        let mut schema = match &key.shape {
            Shape::Table => self.object(&below),
            Shape::Tables => one("array", "items", self.items(&below)),
            Shape::Named => one("object", "additionalProperties", Value::Object(self.object(&below))),
            shape => plain(shape),
        };
        if key.or_tables {
            let tables = if below.is_empty() {
                one("array", "items", json!({ "type": "object" }))
            } else {
                one("array", "items", self.items(&below))
            };
            let single = if key.shape == Shape::Tables { json!({ "type": "string" }) } else { Value::Object(schema) };
            schema = Map::from_iter([("anyOf".to_owned(), json!([single, tables]))]);
        }
        let comment = asked.iter().find_map(|(_, key)| comment_above(REFERENCE, key.span.as_ref()?));
        let comment = comment.or_else(|| below.iter().find_map(|(_, table)| comment_above(REFERENCE, table.span.as_ref()?)));
        let expected = Some(key.expected.to_owned()).filter(|expected| !expected.is_empty());
        if let Some(text) = comment.or(expected) {
            schema.insert("description".into(), text.into());
        }
        if let Some(default) = key.default.as_deref().and_then(json_of) {
            schema.insert("default".into(), default);
        }
        Value::Object(schema)
    }

    /// Of the tables of a list. Where their type decides what else they have, each type has its own.
    fn items(&self, alike: &Alike<'_>) -> Value {
        let mut kinds: BTreeMap<&str, Vec<(usize, &Table)>> = BTreeMap::new();
        for (place, table) in alike {
            let kind = table.keys.iter().find(|key| key.name == KIND).and_then(|key| REFERENCE.get(key.span.clone()?));
            kinds.entry(kind.unwrap_or_default().trim_matches('"')).or_default().push((*place, *table));
        }
        if kinds.len() < 2 {
            return Value::Object(self.object(alike));
        }
        let names: Vec<&str> = kinds.keys().copied().collect();
        let cases = kinds.iter().map(|(kind, alike)| {
            let mut object = self.object(alike);
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.insert(KIND.into(), json!({ "const": kind }));
            }
            json!({ "if": { "properties": { KIND: { "const": kind } }, "required": [KIND] }, "then": object })
        });
        json!({ "type": "object", "required": [KIND], "properties": { KIND: { "enum": names } }, "allOf": cases.collect::<Vec<_>>() })
    }
}

fn one(kind: &str, key: &str, inner: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), kind.into()), (key.to_owned(), inner)])
}

fn plain(shape: &Shape) -> Map<String, Value> {
    let schema = match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Secret => {
            let place = |key: &str| json!({ "type": "object", "properties": { key: { "type": "string" } }, "required": [key], "additionalProperties": false });
            json!({ "anyOf": [{ "type": "string" }, place("file"), place("env")] })
        }
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Whole => json!({ "type": "integer", "minimum": 0 }),
        Shape::Number => json!({ "type": "number" }),
        Shape::List(item) => json!({ "type": "array", "items": plain(item) }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Any | Shape::Table | Shape::Tables | Shape::Named => json!({}),
    };
    if let Value::Object(schema) = schema { schema } else { Map::new() }
}

/// A default, as JSON: TOML writes texts, numbers, flags and lists of those as JSON does.
fn json_of(written: &str) -> Option<Value> {
    serde_json::from_str(written).ok()
}

/// The comment of `reference` that ends on the line above `span`.
pub(super) fn comment_above(reference: &str, span: &Range<usize>) -> Option<String> {
    let before = reference.get(..span.start)?;
    let before = before.get(..before.rfind('\n')?)?;
    let mut lines: Vec<&str> = before.lines().rev().take_while(|line| line.starts_with('#')).collect();
    lines.reverse();
    let text: Vec<&str> = lines.into_iter().map(|line| line.trim_start_matches('#').trim()).filter(|line| !line.starts_with('─')).collect();
    let text = text.join("\n");
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
