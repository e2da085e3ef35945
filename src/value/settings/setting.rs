//! What values can be read as, and how each is written.
use super::{
    super::{ByteSize, parse_duration},
    asked::{self, Shape, quoted},
};
use std::{net::SocketAddr, ops::Range, path::PathBuf, time::Duration};
use toml::{Spanned, de::DeValue};

/// Something a value can be read as.
pub trait Setting: Sized {
    /// For messages: `a size such as "50MiB"`.
    const EXPECTED: &'static str;
    /// # Errors
    /// What is wrong, where [`EXPECTED`](Self::EXPECTED) alone does not say it.
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>>;
    /// How it is written.
    #[must_use]
    fn shape() -> Shape {
        Shape::Text
    }
    /// As it would be written; `None` where that cannot be said, or is for nobody's eyes.
    fn written(&self) -> Option<String> {
        None
    }
}

/// A value with its place, for checks that need other settings as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<T> Placed<T> {
    /// Of a default, which stands in no file.
    pub fn nowhere(value: T) -> Self {
        Self { value, span: 0..0 }
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a text in quotes";
    fn written(&self) -> Option<String> {
        Some(quoted(self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_str().map(Self::from).ok_or(None)
    }
}
impl Setting for Box<str> {
    const EXPECTED: &'static str = String::EXPECTED;
    fn written(&self) -> Option<String> {
        Some(quoted(self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        String::read(value).map(Into::into)
    }
}
impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    fn shape() -> Shape {
        Shape::Flag
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_bool().ok_or(None)
    }
}
impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number, not negative";
    fn shape() -> Shape {
        Shape::Whole
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let DeValue::Integer(integer) = value else { return Err(None) };
        Self::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| None)
    }
}
/// Narrower than what is read.
macro_rules! whole {
    ($($number:ty, $expected:expr;)+) => {$(
        impl Setting for $number {
            const EXPECTED: &'static str = $expected;
            fn shape() -> Shape {
                u64::shape()
            }
            fn written(&self) -> Option<String> {
                Some(self.to_string())
            }
            fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
                u64::read(value)?.try_into().map_err(|_| None)
            }
        }
    )+};
}
whole! {
    u32, "a whole number, not negative, below 4294967296";
    usize, u64::EXPECTED;
}
impl Setting for f64 {
    const EXPECTED: &'static str = "a number such as 5 or 6.5";
    fn shape() -> Shape {
        Shape::Number
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let number: Self = match value {
            DeValue::Integer(_) => u32::read(value)?.into(),
            DeValue::Float(float) => float.as_str().parse().map_err(|_| None)?,
            _ => return Err(None),
        };
        if number.is_finite() { Ok(number) } else { Err(None) }
    }
}
impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"10s\" or \"5m\"";
    fn written(&self) -> Option<String> {
        Some(asked::duration(*self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        parse_duration(value.as_str().ok_or(None)?).map_err(Some)
    }
}
impl Setting for ByteSize {
    const EXPECTED: &'static str = "a size such as \"64KiB\", \"50MiB\" or \"8GiB\"";
    fn written(&self) -> Option<String> {
        Some(asked::size(*self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_str().ok_or(None)?.parse().map_err(Some)
    }
}
impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";
    fn written(&self) -> Option<String> {
        self.to_str().map(quoted)
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("") | None => Err(None),
            Some(path) => Ok(path.into()),
        }
    }
}
impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"127.0.0.1:25\" or \"[::1]:25\"";
    fn written(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        text.parse().map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}
impl Setting for ipnet::IpNet {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\", \"192.0.2.1\" or \"2001:db8::/32\"";
    fn written(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        let alone = text.parse().map(|address: std::net::IpAddr| Self::from(address));
        text.parse().or(alone).map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}
/// As a list of them would be written.
fn list<'a, T: Setting + 'a>(items: impl Iterator<Item = &'a T>) -> Option<String> {
    let items: Option<Vec<_>> = items.map(T::written).collect();
    Some(format!("[{}]", items?.join(", ")))
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list in square brackets";
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
    fn written(&self) -> Option<String> {
        list(self.iter())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let DeValue::Array(array) = value else { return Err(None) };
        array
            .iter()
            .map(|item| {
                T::read(item.get_ref())
                    .map_err(|why| Some(why.unwrap_or_else(|| format!("expected a list of which each is {}", T::EXPECTED))))
            })
            .collect()
    }
}
/// For lists of which each item has a check of its own.
impl<T: Setting> Setting for Vec<Placed<T>> {
    const EXPECTED: &'static str = <Vec<T> as Setting>::EXPECTED;
    fn shape() -> Shape {
        Vec::<T>::shape()
    }
    fn written(&self) -> Option<String> {
        list(self.iter().map(|item| &item.value))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let values = Vec::<T>::read(value)?;
        let places = value.as_array().into_iter().flat_map(|array| array.iter().map(Spanned::span));
        Ok(values.into_iter().zip(places).map(|(value, span)| Placed { value, span }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::read, *};

    #[test]
    fn the_items_of_a_list_have_places() {
        let text = "names = [\"a\", \"bc\"]\n";
        let found = read(text, |root| {
            let names: Vec<Placed<String>> = root.take("names").unwrap();
            assert_eq!(names.iter().map(|name| &text[name.span.clone()]).collect::<Vec<_>>(), ["\"a\"", "\"bc\""]);
        });
        assert!(found.is_empty());
        assert_eq!(read("names = [1]", |root| assert_eq!(root.take::<Vec<Placed<String>>>("names"), None)).len(), 1);
    }
}
