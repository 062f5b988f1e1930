//! A znode's stat, with the names of ZooKeeper's shell in text and those of the protocol in JSON.

use std::time::{Duration, UNIX_EPOCH};

use conclave_protocol::stat::Stat;
use serde_json::{Value, json};

use super::{Paint, Style};

/// Returns the stat in eleven lines.
pub(super) fn text(stat: &Stat, style: Style) -> String {
    let lines = [
        ("cZxid", format!("0x{}", stat.czxid)),
        ("ctime", time(stat.ctime_ms)),
        ("mZxid", format!("0x{}", stat.mzxid)),
        ("mtime", time(stat.mtime_ms)),
        ("pZxid", format!("0x{}", stat.pzxid)),
        ("cversion", stat.cversion.to_string()),
        ("dataVersion", stat.version.to_string()),
        ("aclVersion", stat.aversion.to_string()),
        ("ephemeralOwner", format!("0x{:x}", stat.ephemeral_owner)),
        ("dataLength", stat.data_length.to_string()),
        ("numChildren", stat.num_children.to_string()),
    ];
    lines
        .iter()
        .map(|(key, value)| format!("{} = {value}\n", style.paint(Paint::Key, key)))
        .collect()
}

/// Returns the stat as an object; what may have more than 53 bits is text.
pub(super) fn json(stat: &Stat) -> Value {
    json!({
        "czxid": format!("0x{}", stat.czxid),
        "mzxid": format!("0x{}", stat.mzxid),
        "pzxid": format!("0x{}", stat.pzxid),
        "ctime": time(stat.ctime_ms),
        "mtime": time(stat.mtime_ms),
        "ctime_ms": stat.ctime_ms,
        "mtime_ms": stat.mtime_ms,
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "ephemeral_owner": format!("0x{:x}", stat.ephemeral_owner),
        "data_length": stat.data_length,
        "num_children": stat.num_children,
    })
}

/// Returns a time that a server told in RFC 3339; one that has none as a number.
pub(in crate::shell) fn time(unix_ms: i64) -> String {
    match u64::try_from(unix_ms) {
        Ok(ms) if ms <= TIME_MS_MAX => {
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
        }
        _ => format!("{unix_ms} ms"),
    }
}

/// The last millisecond of the year 9999.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_no_calendar_has_are_numbers() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(253_402_300_800_000), "253402300800000 ms");
        assert_eq!(time(i64::MIN), "-9223372036854775808 ms");
    }
}
