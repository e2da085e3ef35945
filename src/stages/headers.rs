//! Puts header fields in and takes them out, the same for every message.
//!
//! ```toml
//! [[stage]]
//! name    = "tag"
//! type    = "headers"
//! delete  = ["X-Spam-Flag", "X-Spam-Status"]      # what a sender claims about itself
//! replace = ["Precedence: bulk"]
//! insert  = ["X-Gate: mx.example.org"]
//! add     = ["X-Policy: 7"]
//! ```
use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Inspection, Report, Stage, StageError, Wants},
    message::{Client, Edit, HeaderBlock, Message, NewField, field_name},
    value::settings::{Placed, Section},
};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "headers",
    summary: "inserts, adds, replaces and deletes header fields",
    settings: &[
        documented("delete", "names of fields of which none is to stay"),
        documented("replace", "\"Name: value\": one field of that name stays, with that value, where the first one was; none: at the end"),
        documented("insert", "\"Name: value\": put above all other fields, the first of the list topmost"),
        documented("add", "\"Name: value\": put below all other fields, in order"),
    ],
    findings: &[],
    build,
};

/// The lists, in the order they are applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Headers {
    delete: Vec<Box<str>>,
    replace: Vec<NewField>,
    insert: Vec<NewField>,
    add: Vec<NewField>,
}

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    // Each is read before any is missed, so that all mistakes are told.
    let delete = delete(section);
    let [replace, insert, add] = ["replace", "insert", "add"].map(|key| fields(section, key));
    let headers = Headers { delete: delete?, replace: replace?, insert: insert?, add: add? };
    if headers == Headers::default() {
        section.complain("this stage changes nothing: give it `delete`, `replace`, `insert` or `add`");
    }
    Some(Box::new(Rewriting(Arc::new(headers))))
}

/// `None` where a field is wrong.
fn fields(section: &mut Section<'_>, key: &'static str) -> Option<Vec<NewField>> {
    if section.has(key) { section.take_list(key) } else { Some(Vec::new()) }
}

fn delete(section: &mut Section<'_>) -> Option<Vec<Box<str>>> {
    let names: Vec<Placed<String>> = if section.has("delete") { section.take("delete")? } else { Vec::new() };
    let read = |name: Placed<String>| {
        let complain = |why: String| section.complain_at(name.span.clone(), format!("`{}`: {why}", section.path("delete")));
        field_name(&name.value).map(Into::into).map_err(complain).ok()
    };
    let names: Vec<_> = names.into_iter().map(read).collect();
    names.into_iter().collect()
}

impl Headers {
    fn edits(&self, headers: &HeaderBlock) -> Vec<Edit> {
        let mut edits = Vec::with_capacity(self.delete.len() + self.replace.len() + self.insert.len() + self.add.len());
        let absent = |name: &str| headers.find(name).is_none();
        edits.extend(self.delete.iter().filter(|name| !absent(name)).map(|name| Edit::DeleteHeader { name: name.clone(), nth: 0 }));
        for NewField { name, value } in &self.replace {
            // From the last on, so that the count of those before stays right.
            edits.extend((2..=headers.count(name)).rev().map(|nth| Edit::DeleteHeader { name: name.clone(), nth }));
            edits.push(Edit::ReplaceHeader { name: name.clone(), nth: 1, value: value.as_ref().into() });
        }
        let insert = self.insert.iter().enumerate();
        edits.extend(insert.map(|(at, NewField { name, value })| Edit::InsertHeader {
            at,
            name: name.clone(),
            value: value.as_ref().into(),
        }));
        edits.extend(self.add.iter().map(|NewField { name, value }| Edit::AddHeader { name: name.clone(), value: value.as_ref().into() }));
        edits
    }
}

/// The stage; an inspection is another handle on the same lists.
#[derive(Clone)]
struct Rewriting(Arc<Headers>);

#[async_trait]
impl Stage for Rewriting {
    fn may_edit(&self) -> bool {
        true
    }
    fn wants(&self) -> Wants {
        Wants::END_OF_MESSAGE
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Inspection for Rewriting {
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        Ok(Report { edits: self.0.edits(&message.headers), ..Report::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Edits, stages::tests::read};
    use bytes::Bytes;

    async fn applied(settings: &str, block: &'static str) -> String {
        let (stages, found) = read(&format!("[[stage]]\ntype = \"headers\"\n{settings}"));
        assert_eq!(found, Vec::<(String, String)>::new());
        let mut inspection = stages[0].stage.begin(&crate::stages::tests::client()).await.unwrap();
        let message = crate::stages::tests::message(block, "body");
        let report = inspection.end_of_message(&message).await.unwrap();
        let block = Edits(report.edits).apply(&HeaderBlock::new(Bytes::from_static(block.as_bytes())));
        String::from_utf8(block.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn fields_are_changed_as_the_lists_say() {
        let settings = "delete = [\"x-spam\", \"X-Not-There\"]\nreplace = [\"Subject: new\", \"X-R: 1\"]\ninsert = [\"X-A: 1\", \"X-B: 2\"]\nadd = [\"X-C:3\", \"X-D:\"]";
        let block = "X-Spam: no\r\nSubject: old\r\nFrom: a\r\nsubject: older\r\nX-Spam: yes\r\nSUBJECT: oldest\r\n";
        assert_eq!(applied(settings, block).await, "X-A: 1\r\nX-B: 2\r\nSubject: new\r\nFrom: a\r\nX-R: 1\r\nX-C: 3\r\nX-D:\r\n");
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let long = format!("add = [\"X: {}\"]", "x".repeat(1000));
        let cases = [
            ("add = [\"X: a\", \"no colon\"]", "\"no colon\"", "`stage.add`: `no colon` is no header field: write \"Name: value\""),
            ("delete = [\"X:\"]", "\"X:\"", "`stage.delete`: `X:` is no name of a header field"),
            ("insert = [\"X Y: a\"]", "\"X Y: a\"", "`stage.insert`: `X Y` is no name of a header field"),
            ("replace = [\"X: a\\r\\nY: b\"]", "\"X: a\\r\\nY: b\"", "must be printable ASCII on one line"),
            ("replace = [\"X: é\"]", "\"X: é\"", "RFC 2047"),
            (&long, "", "`X` is longer than a line may be"),
            ("add = \"X: a\"", "\"X: a\"", "`stage.add`: expected a list"),
            ("", "[[stage]]", "this stage changes nothing"),
        ];
        for (settings, place, text) in cases {
            let (_, found) = read(&format!("[[stage]]\ntype = \"headers\"\n{settings}"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0.contains(place) && found[0].1.contains(text), "{found:?}");
        }
    }
}
