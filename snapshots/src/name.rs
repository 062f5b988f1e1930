//! Names of files.

use conclave_protocol::zxid::Zxid;

/// Ends the name of a file that is not finished.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The file of the epochs.
pub(crate) const EPOCHS: &str = "epochs";

/// The file that says how far the log was synced.
pub(crate) const SYNCED: &str = "synced";

/// The file that says whose data it is.
pub(crate) const OWNER: &str = "owner";

/// What files named by a zxid hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A segment of the log; the zxid is that of its first record.
    Log,
    /// A snapshot; the zxid is that of the last txn in it.
    Snapshot,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Log => "log.",
            Self::Snapshot => "snapshot.",
        }
    }

    /// Returns the path of the file of `zxid` in `dir`.
    pub(crate) fn path(self, dir: &str, zxid: Zxid) -> String {
        format!("{dir}/{}{zxid}", self.prefix())
    }

    /// Reads a name; `None` for any that [`Self::path`] does not make.
    pub(crate) fn parse(self, name: &str) -> Option<Zxid> {
        let digits = name.strip_prefix(self.prefix())?;
        let zxid = Zxid(u64::from_str_radix(digits, 16).ok()?);
        (zxid.to_string() == digits).then_some(zxid)
    }

    /// Returns the zxids among `names`, ascending.
    pub(crate) fn zxids(self, names: &[String]) -> Vec<Zxid> {
        let mut zxids: Vec<Zxid> = names.iter().filter_map(|name| self.parse(name)).collect();
        zxids.sort_unstable();
        zxids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_made_and_no_other() {
        let zxid = Zxid(0x1_0000_00ff);
        assert_eq!(Kind::Log.path("d", zxid), "d/log.1000000ff");
        assert_eq!(Kind::Log.parse("log.1000000ff"), Some(zxid));
        let wrong = ["log.", "log.0ff", "log.FF", "log.+1", "log.1.tmp", "snapshot.1", "log.1 "];
        for name in wrong {
            assert_eq!(Kind::Log.parse(name), None, "{name}");
        }
    }

    #[test]
    fn zxids_are_sorted_by_number_not_by_text() {
        let names = ["log.a", "log.10", "epochs", "log.2"].map(String::from);
        assert_eq!(Kind::Log.zxids(&names), [Zxid(2), Zxid(10), Zxid(16)]);
    }
}
