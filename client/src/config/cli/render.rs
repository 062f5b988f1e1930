//! `render`: a file that is always what the configuration says, and never half of it.

use std::path::Path;

use super::{Context, Result, follow::Changes, following::Render};
use crate::config::{check, disk, disk::Ownership, error::ConfigError, follow::Version, template};

pub(super) async fn render(context: &Context, arguments: Render) -> Result<u8> {
    let source = source(&arguments.template)?;
    let path = match (&arguments.path, template::named_path(&source)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => path.to_owned(),
        (None, None) => {
            let text = "which configuration? --path, or {# path: /app #} in the template, says it";
            return Err(ConfigError::Usage(text.to_owned()));
        }
    };
    disk::remove_staged(&arguments.out);
    let mut changes = Changes::new(context, &path, &arguments.following)?;
    if arguments.once || arguments.dry_run {
        let version = changes.now().await?;
        render_one(context, &arguments, &version).await?;
        changes.report(&version).await;
        changes.close().await;
        return Ok(0);
    }
    let mut before: Option<Version> = None;
    loop {
        let version = changes.next(before.as_ref()).await;
        match render_one(context, &arguments, &version).await {
            Ok(()) => changes.report(&version).await,
            // What is there is still good; the next change may mend it.
            Err(error) => context.printer.say(&format!("{error}; the file stays as it is")),
        }
        before = Some(version);
    }
}

fn source(template: &Path) -> Result<String> {
    String::from_utf8(disk::read(template)?.to_vec())
        .map_err(|_| ConfigError::Invalid(format!("{}: not UTF-8", template.display())))
}

/// Renders a version, and replaces the file if it is another.
async fn render_one(context: &Context, arguments: &Render, version: &Version) -> Result<()> {
    let Render { template: from, out, .. } = arguments;
    let name = from.display().to_string();
    let texts = template::texts(version, &context.keyring)?;
    // Read anew each time, so that an edited template counts with the next change.
    let text = template::render(&name, &source(from)?, texts, version.release)?;
    if arguments.dry_run {
        context.printer.bytes(text.as_bytes());
        return Ok(());
    }
    let told = Ownership { mode: arguments.mode, user: arguments.user, group: arguments.group };
    if disk::read_if_there(out)?.is_some_and(|bytes| bytes == text) && told.is_of(out) {
        return Ok(());
    }
    let staged = disk::stage(out, text.as_bytes(), told)?;
    if let Some(command) = &arguments.check_cmd
        && let Err(error) = check::command(command, &staged).await
    {
        drop(disk::remove(&staged));
        return Err(error);
    }
    disk::replace(out, &staged).inspect_err(|_| drop(disk::remove(&staged)))?;
    let release =
        version.release.map_or_else(String::new, |release| format!(" of release {release}"));
    context.printer.say(&format!("{} is written{release}", out.display()));
    match &arguments.reload_cmd {
        Some(command) => check::command(command, out).await,
        None => Ok(()),
    }
}
