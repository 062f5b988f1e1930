//! A configuration as one tar archive: the files of a directory, in the same layout.

use std::{
    io::{Cursor, Read as _},
    path::{Component, Path},
};

use bytes::Bytes;

use super::{disk::FILE_LEN_BYTES_MAX, error::ConfigError};

/// Writes files, in the order given.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a name cannot be in an archive.
pub fn write(files: &[(std::path::PathBuf, Bytes)]) -> Result<Vec<u8>, ConfigError> {
    let failed = |error: std::io::Error| ConfigError::Invalid(error.to_string());
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in files {
        // Nothing in it depends on when or by whom it was written.
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, data.as_ref()).map_err(failed)?;
    }
    builder.into_inner().map_err(failed)
}

/// Reads the files of an archive.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when something in it is neither a file nor a directory, or its name leads
/// elsewhere.
pub fn read(bytes: &[u8], place: &str) -> Result<Vec<(Vec<String>, Bytes)>, ConfigError> {
    let wrong = |error: String| ConfigError::Invalid(format!("{place}: {error}"));
    let failed = |error: std::io::Error| wrong(error.to_string());
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    let mut files = Vec::new();
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let path = entry.path().map_err(failed)?.into_owned();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let name = path.display().to_string();
        if !entry.header().entry_type().is_file() {
            return Err(wrong(format!("{name:?} is neither a file nor a directory")));
        }
        if entry.size() > FILE_LEN_BYTES_MAX {
            return Err(wrong(format!("{name:?} is too long")));
        }
        let names = names(&path).ok_or_else(|| wrong(format!("{name:?} leads elsewhere")))?;
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(failed)?;
        files.push((names, data.into()));
    }
    Ok(files)
}

/// Returns the names of a path that leads down and nowhere else.
fn names(path: &Path) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str()?.to_owned()),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_read_as_they_are_written_and_are_the_same_each_time() {
        let files = [("a/b".into(), "x".into()), ("c".into(), Bytes::new())];
        let bytes = write(&files).unwrap();
        assert_eq!(bytes, write(&files).unwrap());
        let expected = vec![
            (vec!["a".to_owned(), "b".to_owned()], Bytes::from("x")),
            (vec!["c".to_owned()], Bytes::new()),
        ];
        assert_eq!(read(&bytes, "t").unwrap(), expected);
        assert!(
            read(b"nonsense that is no archive", "t").is_err()
                || read(b"", "t").unwrap().is_empty()
        );
    }

    #[test]
    fn names_that_lead_elsewhere_and_links_are_refused() {
        for name in ["../x", "/x", "a/../../x"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            let mut builder = tar::Builder::new(Vec::new());
            builder.append(&header, &[][..]).unwrap();
            assert!(read(&builder.into_inner().unwrap(), "t").is_err(), "{name}");
        }
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a", "/etc/passwd").unwrap();
        assert!(read(&builder.into_inner().unwrap(), "t").is_err());
    }
}
