//! `edit`: a value in an editor.

use std::{ffi::OsStr, io::Write, process::Command};

use clap::Args;

use super::{Context, znode_path};
use crate::shell::{
    error::{Doing, ShellError, at, doing},
    file,
    outcome::Outcome,
    printer::remark,
    words,
};

/// Opens a value in $VISUAL or $EDITOR, and sets it if nobody else has changed it meanwhile.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Edit {
    #[arg(value_parser = znode_path)]
    path: String,
}

impl Edit {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = self.path;
        let Some(editor) = &context.surroundings.editor else {
            return Err(ShellError::Refused("neither VISUAL nor EDITOR is set".to_owned()));
        };
        let (data, stat) = context.client().get_data(&path).await.map_err(at(&path))?;
        let name = conclave_protocol::path::name(&path);
        let extension = name.rsplit_once('.').map_or("txt", |(_, extension)| extension);
        let suffix = format!(".{extension}");
        let folder = tempfile::tempdir().map_err(failed)?;
        let mut file =
            tempfile::Builder::new().suffix(&suffix).tempfile_in(folder.path()).map_err(failed)?;
        file.write_all(&data).and_then(|()| file.flush()).map_err(failed)?;
        call(editor, file.path())?;
        // By its name, for an editor may have put another file in its place.
        let edited = file::read(file.path().as_os_str())?;
        if edited == data {
            return Ok(Outcome::Said { path, text: "Unchanged".to_owned() });
        }
        let kept = edited.clone();
        match context.client().set_data(&path, edited, Some(stat.version)).await {
            Ok(stat) => {
                let text = format!("Set {path}, version {}", stat.version);
                Ok(Outcome::Said { path, text })
            }
            Err(error) => {
                let place = keep(&suffix, &kept)?;
                remark(&format!("conclave: what you wrote is kept in {place}"));
                Err(doing(&path, Doing::Change(Some(stat.version)))(error))
            }
        }
    }
}

/// Calls the editor and waits for its end; it has the terminal.
fn call(editor: &OsStr, file: &std::path::Path) -> Result<(), ShellError> {
    let words = words::commands(editor.as_encoded_bytes()).unwrap_or_default();
    let Some([program, arguments @ ..]) = words.first().map(Vec::as_slice) else {
        return Err(ShellError::Refused(format!("no editor: {}", editor.display())));
    };
    let status =
        tokio::task::block_in_place(|| Command::new(program).args(arguments).arg(file).status());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ShellError::Refused(format!("{}: {status}", program.display()))),
        Err(error) => Err(ShellError::Refused(format!("{}: {error}", program.display()))),
    }
}

/// Keeps what could not be set, and returns where.
fn keep(suffix: &str, data: &[u8]) -> Result<String, ShellError> {
    let mut file = tempfile::Builder::new()
        .prefix("conclave-edit-")
        .suffix(suffix)
        .disable_cleanup(true)
        .tempfile()
        .map_err(failed)?;
    file.write_all(data).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file.path().display().to_string())
}

fn failed(error: std::io::Error) -> ShellError {
    ShellError::Refused(format!("no file for the editor: {error}"))
}
