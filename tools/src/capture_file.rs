//! A capture's file: opened before there are frames to write, and never at a document's expense.

use crate::ui;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// How every pcapng file begins: the type of a section header block.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A file that a user has named for a capture, empty at first.
pub(crate) struct CaptureFile {
    file: File,
    path: PathBuf,
}

impl CaptureFile {
    /// Opens the file. Errors, in words: why it can't be written, or that it is something else than a capture.
    pub(crate) fn open(path: &Path) -> Result<CaptureFile, String> {
        let file = open(path).map_err(|error| in_words(path, &error))?;
        Ok(CaptureFile { file, path: path.to_owned() })
    }

    /// Writes behind what was written before. Errors: what the system says, with the file's name.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), String> {
        (&self.file).write_all(bytes).map_err(|error| in_words(&self.path, &error))
    }

    /// What the user has named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file alone, for who has errors of its own.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

fn in_words(path: &Path, error: &io::Error) -> String {
    format!("can't write the capture to {}: {}", path.display(), ui::reason(error))
}

/// Opens a file to write to, but none that holds something else than a capture: a slip of the shell's history
/// should not cost a document.
fn open(path: &Path) -> io::Result<File> {
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    if !is_file {
        return OpenOptions::new().write(true).create(true).truncate(false).open(path);
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut start = Vec::new();
    (&mut file).take(PCAPNG_MAGIC.len() as u64).read_to_end(&mut start)?;
    if !start.is_empty() && start != PCAPNG_MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it exists and is no capture; remove it, or choose another name",
        ));
    }
    file.set_len(0)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_replaces_a_capture_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "a document").expect("written");
        assert!(open(&path).is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"a document");
        std::fs::write(&path, [&PCAPNG_MAGIC[..], b"old"].concat()).expect("written");
        open(&path).expect("opened");
        assert_eq!(std::fs::read(&path).expect("there"), b"");
        assert!(open(folder.path()).is_err(), "a folder");
        assert!(open(&folder.path().join("no").join("file")).is_err(), "no such folder");
    }
}
