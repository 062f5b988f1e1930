//! Where a configuration comes from and goes to: a directory, or one file of a known kind.

use std::path::Path;

use clap::ValueEnum;

use super::{
    archive, disk,
    document::{self, Language},
    error::ConfigError,
    files::{self, Loaded, Present},
    meta::Meta,
    tree::Tree,
};

/// How a configuration is written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// A directory of files.
    Dir,
    /// One YAML file.
    Yaml,
    /// One JSON file.
    Json,
    /// One tar archive of the files of a directory.
    Tar,
}

impl Format {
    /// Returns the format that a name suggests.
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("tar") => Self::Tar,
            _ => Self::Dir,
        }
    }
}

/// Reads a configuration; what is a directory is one whatever its name.
///
/// # Errors
///
/// [`ConfigError::Invalid`] and [`ConfigError::Disk`].
pub fn read(path: &Path, format: Option<Format>) -> Result<Loaded, ConfigError> {
    let place = path.display().to_string();
    let suggested = if disk::is_directory(path) { Format::Dir } else { Format::of(path) };
    match format.unwrap_or(suggested) {
        Format::Dir => files::read(path),
        Format::Yaml => document::read(&disk::read(path)?, Language::Yaml, &place),
        Format::Json => document::read(&disk::read(path)?, Language::Json, &place),
        Format::Tar => {
            let files = archive::read(&disk::read(path)?, &place)?;
            files::assemble(
                files.into_iter().map(|(names, data)| (names, Some(data))).collect(),
                &place,
            )
        }
    }
}

/// Writes a configuration, and returns how many files that were.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when something is there and may not be replaced; [`ConfigError::Disk`].
pub fn write(
    path: &Path,
    format: Option<Format>,
    tree: &Tree,
    mut meta: Meta,
    present: Present,
) -> Result<usize, ConfigError> {
    let bytes = match format.unwrap_or_else(|| Format::of(path)) {
        Format::Dir => return files::write(path, tree, meta, present),
        Format::Yaml => document::write(tree, meta, Language::Yaml)?,
        Format::Json => document::write(tree, meta, Language::Json)?,
        Format::Tar => archive::write(&files::plan_files(tree, &mut meta))?,
    };
    if present == Present::Refused && disk::look(path)?.is_some() {
        let text = format!("{}: it is there already; --force replaces it", path.display());
        return Err(ConfigError::Invalid(text));
    }
    disk::write_whole(path, &bytes, disk::Ownership::default())?;
    Ok(1)
}
