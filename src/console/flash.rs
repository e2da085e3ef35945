//! What the next page says once: "released", "deleted", "that did not work".
use super::visitor::FLASH;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// A message for the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    pub good: bool,
    pub text: String,
}

/// Octets; a cookie has 4096.
const LONGEST: usize = 1500;

impl Flash {
    #[must_use]
    pub fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    #[must_use]
    pub fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into() }
    }

    /// On to `path` (of this console, beginning with `/`), where it is said.
    #[must_use]
    pub fn at(self, path: &str) -> Response {
        let mut response = see(path);
        let text = self.text.get(..self.text.floor_char_boundary(LONGEST)).unwrap_or_default();
        let value = BASE64_URL_SAFE_NO_PAD.encode(format!("{}{text}", if self.good { '+' } else { '-' }));
        set_cookie(&mut response, FLASH, &value, Some(60));
        response
    }

    pub(super) fn parse(cookie: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cookie).ok()?).ok()?;
        let good = match text.chars().next()? {
            '+' => true,
            '-' => false,
            _ => return None,
        };
        Some(Self { good, text: text.get(1..)?.to_owned() })
    }
}

/// On to `path`, with GET.
#[must_use]
pub fn see(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Sets a cookie that stays on this host and goes nowhere with requests of other sites; `seconds`:
/// `None` until the browser is closed, 0 to remove it.
pub fn set_cookie(response: &mut Response, name: &str, value: &str, seconds: Option<u64>) {
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    if let Ok(cookie) = HeaderValue::from_str(&format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{age}")) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_through_a_cookie_whatever_is_in_it() {
        for text in ["released; it’s fine\r\nSet-Cookie: x", "", "<b>"] {
            let response = Flash::bad(text).at("/x");
            let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
            let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
            assert_eq!(Flash::parse(value), Some(Flash::bad(text)));
        }
        assert_eq!(Flash::parse("%%%"), None);
        assert_eq!(see("/a\r\nb").headers()[header::LOCATION], "/");
    }
}
