//! What the document says of texts that are not any text.
use utoipa::openapi::{
    KnownFormat, SchemaFormat,
    schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type},
};

/// A text.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// One of these words.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    text().enum_values(Some(words)).build()
}

/// `2026-11-30`, or nothing.
pub(super) fn day() -> Schema {
    let date = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
    Schema::OneOf(OneOfBuilder::new().item(one_of([""])).item(date).build())
}
