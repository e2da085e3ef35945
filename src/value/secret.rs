use super::settings::{Setting, asked::Shape};
use std::{env, fmt, fs, path::Path};
use toml::de::DeValue;

/// Something that is not for everybody's eyes: written in the configuration itself, or in a file or
/// a variable of the environment that it names. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Octets of a file that may hold one; what is larger is something else.
const LARGEST: u64 = 64 << 10;

impl Secret {
    /// The secret itself; for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a text in quotes, { file = \"…\" } or { env = \"…\" }";

    fn shape() -> Shape {
        Shape::Secret
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        if let Some(text) = value.as_str() {
            return Ok(Self(text.into()));
        }
        let table = value.as_table().filter(|table| table.len() == 1).ok_or(None)?;
        let (key, place) = table.iter().next().ok_or(None)?;
        let place = place.get_ref().as_str().ok_or(None)?;
        let text = match key.get_ref().as_ref() {
            "file" => read_file(Path::new(place)).map_err(|why| Some(format!("{place}: {why}")))?,
            "env" => env::var(place).map_err(|_| Some(format!("there is no variable `{place}` in the environment")))?,
            _ => return Err(None),
        };
        // A file ends with a line end, which nobody means.
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err(Some(format!("{place} is empty"))) } else { Ok(Self(text.into())) }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LARGEST {
        return Err("too large for a secret".to_owned());
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::settings::{Problems, Section};
    use toml::de::DeTable;

    fn read(text: &str) -> Result<String, String> {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let secret = Section::root(&table, problems.clone()).take::<Secret>("secret");
        match problems.take().into_iter().next() {
            Some(problem) => Err(problem.text),
            None => Ok(secret.unwrap().reveal().to_owned()),
        }
    }

    #[test]
    fn a_secret_stands_here_or_in_a_file_or_in_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "from a file\n").unwrap();
        assert_eq!(read("secret = \"here\"").unwrap(), "here");
        assert_eq!(read(&format!("secret = {{ file = \"{}\" }}", path.display())).unwrap(), "from a file");
        assert_eq!(read("secret = { env = \"PATH\" }").unwrap(), env::var("PATH").unwrap());
        for (wrong, text) in [
            ("secret = 1", "expected a text in quotes"),
            ("secret = { path = \"x\" }", "expected a text in quotes"),
            ("secret = { file = \"/nowhere/at/all\" }", "/nowhere/at/all: No such file"),
            ("secret = { env = \"OCTROI_NO_SUCH_VARIABLE\" }", "there is no variable"),
            ("secret = { file = \"/dev/null\" }", "/dev/null is empty"),
        ] {
            assert!(read(wrong).unwrap_err().contains(text), "{wrong}");
        }
        assert_eq!(format!("{:?}", Secret("x".into())), "Secret");
    }
}
