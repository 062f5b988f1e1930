//! How what commands yield looks: as text for people, as JSON for programs.

pub(super) mod data;
mod hexdump;
mod json;
mod pretty;
mod quota;
pub(super) mod safe;
pub(super) mod stat;
mod text;
mod top;

use clap::ValueEnum;

use super::outcome::{Item, Outcome};

/// In what form output is wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// For people; as ZooKeeper's shell prints it, where that has the command.
    #[default]
    Text,
    /// One JSON document for each command.
    Json,
}

/// What the output goes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Style {
    /// Somebody looks at it: what could harm the terminal is escaped, and values are made readable.
    pub(super) is_terminal: bool,
    pub(super) has_colours: bool,
}

/// How a part of the text is set off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Paint {
    Path,
    Key,
    Found,
    Faint,
    Good,
    Bad,
}

impl Style {
    /// Returns a text in a colour, or as it is.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.has_colours {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Path => "34",
            Paint::Key => "36",
            Paint::Found => "1;31",
            Paint::Faint => "2",
            Paint::Good => "32",
            Paint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Renders what a command has to show at its end.
pub(super) fn outcome(outcome: &Outcome, format: Format, style: Style) -> Vec<u8> {
    match format {
        Format::Text => text::outcome(outcome, style),
        Format::Json => {
            json::outcome(outcome).map_or_else(Vec::new, |value| json::line(&value, style))
        }
    }
}

/// Renders one of many things, with the end of its line in text and without in JSON.
pub(super) fn item(item: &Item, format: Format, style: Style) -> Vec<u8> {
    match format {
        Format::Text => text::item(item, style),
        Format::Json => json::item(item).to_string().into_bytes(),
    }
}
