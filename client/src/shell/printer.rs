//! Standard output: what is shown by the command that runs, and events that come meanwhile.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Write},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    error::ShellError,
    outcome::{Item, Outcome},
    render::{self, Format, Style},
};

/// Bytes that are gathered before they are written.
const GATHERED_LEN_BYTES_MAX: usize = 64 << 10;

/// Shows what one command yields.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    style: Style,
    gathered: RefCell<Vec<u8>>,
    series: Cell<Series>,
}

/// Where a series of items stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Series {
    None,
    /// A list of JSON that has begun, and so many items of it were shown.
    List(u64),
    /// Items without end: each is a line.
    Lines,
}

impl Printer {
    pub(super) const fn new(format: Format, style: Style) -> Self {
        let gathered = RefCell::new(Vec::new());
        Self { format, style, gathered, series: Cell::new(Series::None) }
    }

    pub(super) const fn style(&self) -> Style {
        self.style
    }

    pub(super) const fn format(&self) -> Format {
        self.format
    }

    /// Begins a list of items; [`Self::end`] ends it.
    pub(super) fn begin_list(&self) {
        self.series.set(Series::List(0));
        if self.format == Format::Json {
            self.gathered.borrow_mut().push(b'[');
        }
    }

    /// Begins items that come one by one, and are shown at once.
    pub(super) fn begin_lines(&self) {
        self.series.set(Series::Lines);
    }

    /// Shows an item.
    pub(super) fn item(&self, item: &Item) -> Result<(), ShellError> {
        let bytes = render::item(item, self.format, self.style);
        let mut gathered = self.gathered.borrow_mut();
        let is_json = self.format == Format::Json;
        match self.series.get() {
            Series::List(count) => {
                if is_json && count > 0 {
                    gathered.extend_from_slice(b",");
                }
                if is_json && self.style.is_terminal {
                    gathered.extend_from_slice(b"\n  ");
                }
                self.series.set(Series::List(count + 1));
                gathered.extend_from_slice(&bytes);
            }
            Series::Lines | Series::None => {
                gathered.extend_from_slice(&bytes);
                if is_json {
                    gathered.push(b'\n');
                }
            }
        }
        let is_due = self.series.get() == Series::Lines || gathered.len() > GATHERED_LEN_BYTES_MAX;
        drop(gathered);
        if is_due { self.flush() } else { Ok(()) }
    }

    /// Shows an outcome.
    pub(super) fn outcome(&self, outcome: &Outcome) -> Result<(), ShellError> {
        let bytes = render::outcome(outcome, self.format, self.style);
        self.gathered.borrow_mut().extend_from_slice(&bytes);
        Ok(())
    }

    /// Shows bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        self.gathered.borrow_mut().extend_from_slice(bytes);
    }

    /// Ends what has begun, and writes all.
    pub(super) fn end(&self) -> Result<(), ShellError> {
        if let Series::List(count) = self.series.replace(Series::None)
            && self.format == Format::Json
        {
            let is_in_lines = self.style.is_terminal && count > 0;
            let end: &[u8] = if is_in_lines { b"\n]\n" } else { b"]\n" };
            self.gathered.borrow_mut().extend_from_slice(end);
        }
        self.flush()
    }

    /// Writes what is gathered.
    pub(super) fn flush(&self) -> Result<(), ShellError> {
        let bytes = std::mem::take(&mut *self.gathered.borrow_mut());
        write(&bytes)
    }
}

fn write(bytes: &[u8]) -> Result<(), ShellError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ShellError::OutputClosed),
        Err(error) => Err(ShellError::Refused(format!("standard output: {error}"))),
    }
}

/// Says something on standard error: it is no output.
pub(super) fn remark(line: &str) {
    // Nobody can be told that there is nobody to be told.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Prints a line above the prompt.
type Above = Box<dyn FnMut(String) + Send>;

/// Where lines go that no command asked for: events, and what becomes of the connection.
#[derive(Clone, Default)]
pub(super) struct Announcer {
    above: Arc<Mutex<Option<Above>>>,
}

impl Announcer {
    /// Has lines printed above the prompt from now on.
    pub(super) fn set_above(&self, above: Above) {
        *self.above.lock().unwrap_or_else(PoisonError::into_inner) = Some(above);
    }

    /// Prints an event: it is output.
    pub(super) fn event(&self, line: &str) {
        if !self.try_above(line) {
            // A reader that has gone wants no more.
            drop(write(format!("{line}\n").as_bytes()));
        }
    }

    /// Prints a remark: it is no output.
    pub(super) fn remark(&self, line: &str) {
        if !self.try_above(line) {
            remark(line);
        }
    }

    fn try_above(&self, line: &str) -> bool {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *above {
            Some(print) => {
                print(format!("{line}\n"));
                true
            }
            None => false,
        }
    }
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announcer")
    }
}
