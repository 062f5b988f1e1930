//! `find grep`: znodes by what they are called, how they are, and what they hold.

use std::time::Duration;

use clap::{Args, ValueEnum};
use conclave_protocol::{path::name, stat::Stat};
use regex::bytes::{Regex, RegexBuilder};

use super::{Context, znode_path};
use crate::{
    clock,
    shell::{
        error::ShellError,
        outcome::{Item, Match, Outcome},
        walk::{Visit, Walk, Want},
    },
};

/// Finds znodes for which all that is asked holds.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Find {
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
    /// Their name, with * and ? for what may be there.
    #[arg(short, long, value_name = "PATTERN", value_parser = glob)]
    name: Option<Regex>,
    /// Their size in bytes: 10, +10 for more, -10 for less; k and M behind for 1024 and 1024 * 1024.
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true, value_parser = size)]
    size: Option<Bound>,
    /// When they were last changed: +1h for longer ago, -5m for since.
    #[arg(short, long, value_name = "AGE", allow_hyphen_values = true, value_parser = age)]
    age: Option<Bound>,
    /// The session that owns them: its number, any, or none for those without.
    #[arg(short = 'w', long, value_name = "SESSION", value_parser = owner)]
    owner: Option<Owner>,
    /// A regular expression that matches their data.
    #[arg(short = 'r', long, value_name = "REGEX")]
    data: Option<Regex>,
    /// Their kind.
    #[arg(short, long, value_enum)]
    kind: Option<Kind>,
    /// So many levels deep.
    #[arg(short, long, value_name = "LEVELS")]
    depth: Option<usize>,
}

/// A number that is to be more, less, or the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    More(u64),
    Less(u64),
    Same(u64),
}

impl Bound {
    const fn holds(self, number: u64) -> bool {
        match self {
            Self::More(bound) => number > bound,
            Self::Less(bound) => number < bound,
            Self::Same(bound) => number == bound,
        }
    }
}

/// Who owns a znode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    Any,
    None,
    Session(i64),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Kind {
    /// Those that stay; which of them are containers, or have a time to live, servers do not tell.
    Persistent,
    Ephemeral,
}

impl Kind {
    const fn holds(self, stat: &Stat) -> bool {
        matches!(self, Self::Ephemeral) == (stat.ephemeral_owner != 0)
    }
}

impl Find {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let want = if self.data.is_some() { Want::Data } else { Want::Stat };
        let depth_max = self.depth.unwrap_or(usize::MAX);
        let mut walk = Walk::new(context.client(), &self.path, want, depth_max).lenient();
        let progress = context.progress("search");
        let now_ms = clock::now_unix_ms();
        context.printer.begin_list();
        while let Some(visit) = walk.next().await? {
            progress.add(1);
            if self.is_met(&visit, now_ms) {
                context.printer.item(&Item::Znode { path: visit.path, stat: visit.stat })?;
            }
        }
        Ok(Outcome::Shown)
    }

    fn is_met(&self, visit: &Visit, now_ms: u64) -> bool {
        let Visit { path, stat, data, .. } = visit;
        let size = u64::try_from(stat.data_length).unwrap_or(0);
        let changed_ms = u64::try_from(stat.mtime_ms).unwrap_or(0);
        let age_ms = now_ms.saturating_sub(changed_ms);
        self.name.as_ref().is_none_or(|pattern| pattern.is_match(name(path).as_bytes()))
            && self.size.is_none_or(|bound| bound.holds(size))
            && self.age.is_none_or(|bound| bound.holds(age_ms))
            && self.owner.is_none_or(|owner| owner.holds(stat))
            && self.kind.is_none_or(|kind| kind.holds(stat))
            && self
                .data
                .as_ref()
                .is_none_or(|pattern| data.as_ref().is_some_and(|data| pattern.is_match(data)))
    }
}

impl Owner {
    const fn holds(self, stat: &Stat) -> bool {
        match self {
            Self::Any => stat.ephemeral_owner != 0,
            Self::None => stat.ephemeral_owner == 0,
            Self::Session(session) => stat.ephemeral_owner == session,
        }
    }
}

/// Reads a pattern of names.
fn glob(text: &str) -> Result<Regex, String> {
    let mut pattern = "^(?s:".to_owned();
    for c in text.chars() {
        match c {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            c => pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push_str(")$");
    Regex::new(&pattern).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<Bound, String> {
    bound(text, |number| {
        let (digits, unit) = match number.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1 << 10),
            None => number.strip_suffix('M').map_or((number, 1), |digits| (digits, 1 << 20)),
        };
        let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
        number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too much"))
    })
}

fn age(text: &str) -> Result<Bound, String> {
    bound(text, |age| {
        let age: Duration = humantime::parse_duration(age).map_err(|error| error.to_string())?;
        u64::try_from(age.as_millis()).map_err(|_| format!("{text:?} is too long"))
    })
}

fn bound(text: &str, number: impl Fn(&str) -> Result<u64, String>) -> Result<Bound, String> {
    match text.as_bytes().first() {
        Some(b'+') => number(&text[1..]).map(Bound::More),
        Some(b'-') => number(&text[1..]).map(Bound::Less),
        _ => number(text).map(Bound::Same),
    }
}

fn owner(text: &str) -> Result<Owner, String> {
    match text {
        "any" => Ok(Owner::Any),
        "none" => Ok(Owner::None),
        number => {
            let digits = number.trim_start_matches("0x");
            let session = u64::from_str_radix(digits, 16);
            session
                .map(|id| Owner::Session(id as i64))
                .map_err(|_| format!("{text:?} is no session"))
        }
    }
}

/// Finds lines of data that match.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Grep {
    /// Takes small and large letters for the same.
    #[arg(short)]
    ignore_case: bool,
    /// Lists paths only.
    #[arg(short)]
    list: bool,
    /// Takes the pattern as it stands.
    #[arg(short = 'F')]
    fixed: bool,
    /// A regular expression.
    #[arg(allow_hyphen_values = true)]
    pattern: String,
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl Grep {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let pattern = if self.fixed { regex::escape(&self.pattern) } else { self.pattern.clone() };
        let pattern = RegexBuilder::new(&pattern).case_insensitive(self.ignore_case).build();
        let pattern = pattern.map_err(|error| ShellError::Usage(error.to_string()))?;
        let mut walk = Walk::new(context.client(), &self.path, Want::Data, usize::MAX).lenient();
        let progress = context.progress("search");
        context.printer.begin_list();
        while let Some(visit) = walk.next().await? {
            progress.add(1);
            let data = visit.data.unwrap_or_default();
            for found in matches(&visit.path, &data, &pattern, self.list) {
                context.printer.item(&Item::Match(found))?;
            }
        }
        Ok(Outcome::Shown)
    }
}

/// Returns the matching lines; of data that is no text, and where only paths are wanted, one.
fn matches(path: &str, data: &[u8], pattern: &Regex, is_brief: bool) -> Vec<Match> {
    if !pattern.is_match(data) {
        return Vec::new();
    }
    let found =
        |number, line, spans| Match { path: path.to_owned(), number, line, spans, is_brief };
    let Ok(text) = std::str::from_utf8(data) else {
        return vec![found(1, None, Vec::new())];
    };
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        let spans: Vec<_> = pattern
            .find_iter(line.as_bytes())
            .map(|span| span.range())
            .filter(|span| line.is_char_boundary(span.start) && line.is_char_boundary(span.end))
            .map(|span| (span.start, span.end))
            .collect();
        (!spans.is_empty()).then(|| found(index + 1, Some(line.to_owned()), spans))
    });
    lines.take(if is_brief { 1 } else { usize::MAX }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sizes_and_ages_are_read() {
        assert!(glob("job-*").unwrap().is_match(b"job-1"));
        assert!(!glob("job-?").unwrap().is_match(b"job-10"));
        assert!(!glob("a.b").unwrap().is_match(b"axb"));
        assert_eq!(size("+2k"), Ok(Bound::More(2048)));
        assert_eq!(size("7"), Ok(Bound::Same(7)));
        assert_eq!(age("-1m 5s"), Ok(Bound::Less(65_000)));
        assert_eq!(owner("0xff"), Ok(Owner::Session(255)));
        assert_eq!(owner("8000000000000001"), Ok(Owner::Session(i64::MIN + 1)));
        for wrong in ["", "+", "x", "99999999999999999999", "18446744073709551615M"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_are_found_with_their_numbers() {
        let pattern = Regex::new("b+").unwrap();
        let found = matches("/x", b"a\nabb b\n", &pattern, false);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].number, found[0].spans.clone()), (2, vec![(1, 3), (4, 5)]));
        assert_eq!(matches("/x", b"\xffb", &pattern, false)[0].line, None);
        assert!(matches("/x", b"", &pattern, false).is_empty());
    }
}
