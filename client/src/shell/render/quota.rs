//! A quota, as ZooKeeper's shell shows it.

use conclave_protocol::quota::{Bounds, limits_path};
use serde_json::{Value, json};

use super::safe::{safe, safe_lines};
use crate::shell::outcome::Quota;

/// Returns the lines.
pub(super) fn text(path: &str, quota: Option<&Quota>) -> String {
    let (limits_path, path) = (limits_path(path), safe(path));
    let head = format!("absolute path is {}\n", safe(&limits_path));
    match quota {
        None => format!("{head}quota for {path} does not exist.\n"),
        Some(Quota { limits_text, usage_text, .. }) => format!(
            "{head}Output quota for {path} {}\nOutput stat for {path} {}\n",
            safe_lines(limits_text),
            safe_lines(usage_text)
        ),
    }
}

/// Returns the object.
pub(super) fn json(path: &str, quota: Option<&Quota>) -> Value {
    let bounds = |bounds: Bounds| json!({ "soft": bounds.soft, "hard": bounds.hard });
    match quota {
        None => json!({ "path": path, "limits": null }),
        Some(quota) => json!({
            "path": path,
            "limits": { "count": bounds(quota.limits.count), "bytes": bounds(quota.limits.bytes) },
            "used": { "count": quota.usage.count, "bytes": quota.usage.bytes },
        }),
    }
}
