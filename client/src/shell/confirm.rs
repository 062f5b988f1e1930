//! Questions to whoever sits at the terminal.

use rustyline::{DefaultEditor, error::ReadlineError};

use super::{error::ShellError, render::safe::safe};

/// Asks whether a subtree is to be deleted; anything but a yes is a no.
pub(super) fn deletion(path: &str, below: u64) -> Result<(), ShellError> {
    let below = match below {
        0 => String::new(),
        1 => " and the znode below it".to_owned(),
        count => format!(" and {count} znodes below it"),
    };
    ask(&format!("Delete {}{below}? [y/N] ", safe(path)))
}

fn ask(question: &str) -> Result<(), ShellError> {
    let answer = tokio::task::block_in_place(|| DefaultEditor::new()?.readline(question));
    match answer {
        Ok(answer) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
        Ok(_) | Err(ReadlineError::Interrupted | ReadlineError::Eof) => Err(ShellError::Cancelled),
        Err(error) => Err(ShellError::Refused(format!("no answer: {error}"))),
    }
}
