//! Strings as they come over the wire: perhaps null, perhaps not UTF-8.

use bytes::Bytes;
use core::fmt;

/// A jute string: null, or bytes that ought to be UTF-8 but are kept as they came.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text(Option<Bytes>);

impl Text {
    /// The protocol's null string (length -1).
    pub const NULL: Self = Self(None);

    /// Wraps raw bytes, whatever they are.
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }

    /// Returns whether this is the protocol's null.
    pub const fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the text, or `None` for null and for bytes that are not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.0.as_ref()?).ok()
    }

    /// Returns the raw bytes, or `None` for null.
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        self.0.as_ref()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Some(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl From<alloc::string::String> for Text {
    fn from(text: alloc::string::String) -> Self {
        Self(Some(Bytes::from(text.into_bytes())))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("null"),
            Some(bytes) => write!(f, "{:?}", alloc::string::String::from_utf8_lossy(bytes)),
        }
    }
}
