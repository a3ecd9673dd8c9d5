//! Passwords: names and bcrypt hashes, checked one at a time and remembered for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// How many checks are remembered.
const REMEMBERED: usize = 100;

/// The hash of nobody's password: names that are not known take as long as names that are.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Whether `hash` is one that bcrypt makes.
pub(super) fn check_hash(hash: &str) -> Result<(), &'static str> {
    let parts: bcrypt::HashParts = hash.parse().map_err(|_| "it is not hashed by bcrypt; make one with htpasswd -nBC 10")?;
    match parts.get_cost() {
        4..=31 => Ok(()),
        _ => Err("the cost of its hash is not between 4 and 31"),
    }
}

/// Checks passwords.
#[derive(Default)]
pub(super) struct Passwords {
    /// Hashes of name, hash and password, with what came of them.
    known: Mutex<BTreeMap<[u8; 32], bool>>,
    /// Checking takes a core for a tenth of a second: nobody gets two.
    turn: tokio::sync::Mutex<()>,
}

impl Passwords {
    /// Whether the header `Authorization` names one of `users` with the right password.
    pub(super) async fn allow(&self, header: &str, users: &BTreeMap<String, String>) -> bool {
        let Some((name, password)) = basic(header) else { return false };
        let hash = users.get(&name);
        let is_user = hash.is_some();
        let hash = hash.map_or(NOBODY, String::as_str).to_owned();
        let mut digest = Sha256::new();
        for part in [&name, &hash, &password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let key: [u8; 32] = digest.finalize().into();
        if let Some(&known) = self.known().get(&key) {
            return known;
        }
        let _turn = self.turn.lock().await;
        // somebody may have asked the same in the meantime
        if let Some(&known) = self.known().get(&key) {
            return known;
        }
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await;
        let right = is_user && right.unwrap_or(false);
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, right);
        right
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of `Basic …`.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        assert_eq!(check_hash(&hash), Ok(()));
        let users = BTreeMap::from([("me".to_owned(), hash)]);
        let passwords = Passwords::default();
        for _ in 0..2 {
            for (text, allowed) in [("me:secret", true), ("me:Secret", false), ("you:secret", false), ("me", false)] {
                let header = format!("Basic {}", STANDARD.encode(text));
                assert_eq!(passwords.allow(&header, &users).await, allowed, "{text}");
            }
        }
        assert!(!passwords.allow("", &users).await);
        assert!(!passwords.allow("Bearer x", &users).await);
        assert_eq!(passwords.known().len(), 3, "each is checked once");
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let users = BTreeMap::from([("me".to_owned(), bcrypt::hash("x", 4).unwrap())]);
        let passwords = Passwords::default();
        for n in 0..REMEMBERED + 1 {
            let header = format!("Basic {}", STANDARD.encode(format!("me:{n}")));
            assert!(!passwords.allow(&header, &users).await);
        }
        assert_eq!(passwords.known().len(), 1);
    }
}
