//! Codes on paper, for whoever has lost everything else. Each is of use once.
use super::{
    AccountError,
    random::{fingerprint, octets},
};
use crate::storage::Statement;

/// How many there are.
const CODES: usize = 10;
/// Letters and digits that nobody takes for another: 32 of them, so that each is five bits.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// New ones, of 80 bits each.
pub(super) fn generate() -> Result<Vec<String>, AccountError> {
    (0..CODES).map(|_| one()).collect()
}

fn one() -> Result<String, AccountError> {
    let mut code = String::new();
    for (n, octet) in octets::<16>()?.into_iter().enumerate() {
        if n > 0 && n % 4 == 0 {
            code.push('-');
        }
        code.push(ALPHABET.get(usize::from(octet % 32)).map_or('a', |letter| char::from(*letter)));
    }
    Ok(code)
}

/// A password for somebody who has not chosen one, of 80 bits.
///
/// # Errors
/// This machine has no random numbers.
pub fn suggest_password() -> Result<String, AccountError> {
    one()
}

/// What is kept of one, however it was typed.
pub(super) fn hash(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    fingerprint("recovery", &plain)
}

/// Puts `codes` in the place of those there were.
pub(super) fn replace<'a>(name: &'a str, codes: &'a [String]) -> impl Iterator<Item = Statement> + 'a {
    let old = Statement::new("DELETE FROM account_recovery WHERE account = ?1").with(name);
    let new =
        move |code: &String| Statement::new("INSERT INTO account_recovery (account, hash) VALUES (?1, ?2)").with(name).with(hash(code));
    std::iter::once(old).chain(codes.iter().map(new))
}
