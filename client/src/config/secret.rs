//! Values that the service must not know: encrypted here, before they leave this machine.
//!
//! AES-256-GCM-SIV, bound to the key of the value, with a nonce that is always the same: an equal value at
//! an equal place gives an equal text, so that plans see what changes; that is all the text tells.

use std::fmt;

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    digest::Digest,
    error::ConfigError,
    key::Key,
    meta::{Meta, Patterns},
    tree::Tree,
};

/// Begins a value that is encrypted; the key's id and the ciphertext follow.
const MAGIC: &str = "conclave-secret 1 ";

/// Returns whether a value is encrypted.
pub fn is_envelope(value: &[u8]) -> bool {
    value.starts_with(MAGIC.as_bytes())
}

/// Keys for secret values: the first encrypts, all decrypt.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<(String, Aes256GcmSiv)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Keyring {
    /// Reads keys: a line each, of 64 hexadecimal digits or 32 bytes in base64; the newest first.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Usage`], without the text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let key = |line: &str| {
            let bytes = hexadecimal(line).or_else(|| STANDARD.decode(line).ok());
            let cipher = bytes.as_ref().and_then(|bytes| Aes256GcmSiv::new_from_slice(bytes).ok());
            let (Some(bytes), Some(cipher)) = (bytes, cipher) else {
                let text =
                    "a secret key is 64 hexadecimal digits or 32 bytes in base64, one per line";
                return Err(ConfigError::Usage(text.to_owned()));
            };
            let id = Digest::of_all(&[b"conclave-secret key", &bytes]).to_string()[..8].to_owned();
            Ok((id, cipher))
        };
        Ok(Self { keys: lines.map(key).collect::<Result<_, _>>()? })
    }

    /// Returns whether there is no key.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Encrypts the value of a key.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when there is no key for it.
    pub fn seal(&self, at: &Key, value: &[u8]) -> Result<Bytes, ConfigError> {
        let Some((id, cipher)) = self.keys.first() else {
            let text = format!("{at} is secret: --key-file or CONCLAVE_CONFIG_KEY is needed");
            return Err(ConfigError::Invalid(text));
        };
        let payload = Payload { msg: value, aad: at.as_str().as_bytes() };
        let sealed = cipher
            .encrypt(&Nonce::default(), payload)
            .map_err(|_| ConfigError::Invalid(format!("{at} is too long for a secret")))?;
        Ok(format!("{MAGIC}{id} {}\n", STANDARD.encode(sealed)).into())
    }

    /// Decrypts the value of a key.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when the key for it is not there, or it is not what was encrypted.
    pub fn open(&self, at: &Key, value: &[u8]) -> Result<Bytes, ConfigError> {
        let wrong = |why: &str| ConfigError::Invalid(format!("{at} is secret, and {why}"));
        let text = std::str::from_utf8(value).ok().and_then(|text| text.strip_prefix(MAGIC));
        let (id, sealed) = text
            .and_then(|text| text.trim_end().split_once(' '))
            .ok_or_else(|| wrong("damaged"))?;
        let (_, cipher) = self.keys.iter().find(|(known, _)| known == id).ok_or_else(|| {
            wrong(&format!("key {id} is needed: --key-file or CONCLAVE_CONFIG_KEY"))
        })?;
        let sealed = STANDARD.decode(sealed).map_err(|_| wrong("damaged"))?;
        let payload = Payload { msg: &sealed, aad: at.as_str().as_bytes() };
        let opened = cipher.decrypt(&Nonce::default(), payload);
        opened.map(Bytes::from).map_err(|_| wrong("not what was encrypted for this place"))
    }

    /// Encrypts all values of a tree that `meta` calls secret and that are not encrypted yet.
    ///
    /// # Errors
    ///
    /// As [`Self::seal`].
    pub fn seal_all(&self, tree: &mut Tree, meta: &Meta) -> Result<(), ConfigError> {
        let patterns = Patterns::new(meta.secret.iter().map(String::as_str))?;
        for (key, entry) in tree {
            if let Some(data) = entry.data.as_mut().filter(|data| !is_envelope(data))
                && patterns.matches(key)
            {
                *data = self.seal(key, data)?;
            }
        }
        Ok(())
    }

    /// Decrypts all values of a tree that are encrypted, and returns their keys.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_all(&self, tree: &mut Tree) -> Result<Vec<Key>, ConfigError> {
        let mut opened = Vec::new();
        for (key, entry) in tree {
            if let Some(data) = entry.data.as_mut().filter(|data| is_envelope(data)) {
                *data = self.open(key, data)?;
                opened.push(key.clone());
            }
        }
        Ok(opened)
    }
}

fn hexadecimal(line: &str) -> Option<Vec<u8>> {
    let is_hexadecimal = line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |index: usize| u8::from_str_radix(&line[2 * index..2 * index + 2], 16).ok();
    is_hexadecimal.then(|| (0..32).map_while(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(keys: &[&str]) -> Keyring {
        Keyring::parse(&keys.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_and_with_its_key_alone() {
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        let (at, elsewhere) = (Key::parse("db/password").unwrap(), Key::parse("x").unwrap());
        let ring = keyring(&[&one]);
        let sealed = ring.seal(&at, b"hunter2").unwrap();
        assert!(is_envelope(&sealed) && !String::from_utf8_lossy(&sealed).contains("hunter2"));
        assert_eq!(sealed, ring.seal(&at, b"hunter2").unwrap(), "plans compare the texts");
        assert_eq!(ring.open(&at, &sealed).unwrap(), "hunter2");
        assert!(ring.open(&elsewhere, &sealed).is_err());
        assert!(keyring(&[&two]).open(&at, &sealed).is_err());
        assert_eq!(keyring(&[&two, &one]).open(&at, &sealed).unwrap(), "hunter2");
        let mut damaged = sealed.to_vec();
        let last = damaged.len() - 6;
        damaged[last] ^= 1;
        assert!(ring.open(&at, &damaged).is_err());
    }

    #[test]
    fn keys_are_never_told() {
        let error = Keyring::parse("s3cr3t").unwrap_err().to_string();
        assert!(!error.contains("s3cr3t"));
        let ring = keyring(&[&"ab".repeat(32)]);
        assert!(!format!("{ring:?}").contains("abab"));
        assert!(Keyring::default().seal(&Key::root(), b"").is_err());
    }
}
