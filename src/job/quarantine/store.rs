//! The file below `--data-dir` that outlives a process: `quarantine.json`.
//!
//! It may be removed at any time: then everything is tried once more. What another version of this program left
//! alone is tried too, since it may know better.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Entry, Quarantine};

/// Name of the file.
const FILE: &str = "quarantine.json";

/// Version of the program, by which the file is dropped.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<'a> {
    program: std::borrow::Cow<'a, str>,
    bucket: std::borrow::Cow<'a, str>,
    entries: std::borrow::Cow<'a, [Entry]>,
}

/// Where the file is.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// What is kept in `folder` about `bucket`: nothing where there is no file, or one of another bucket or version;
/// and what is wrong with the file, if anything is.
pub fn read(folder: &Path, bucket: &str) -> (Quarantine, Option<String>) {
    let path = path(folder);
    let none = |why: Option<String>| (Quarantine::default(), why);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return none(None),
        Err(e) => return none(Some(unreadable(&path, &e))),
    };
    match serde_json::from_slice::<Kept<'_>>(&bytes) {
        Ok(kept) if kept.bucket == bucket && kept.program == PROGRAM => (Quarantine::new(kept.entries.into_owned()), None),
        Ok(_) => none(None),
        Err(e) => none(Some(unreadable(&path, &e))),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{} cannot be read, so what it left alone is tried again: {why}", path.display())
}

/// Keeps `quarantine`; whoever reads beside us sees the old file or the new one. Of nothing there is no file.
///
/// # Errors
/// What the disk says: then a process that comes later tries everything once more.
pub fn write(folder: &Path, bucket: &str, quarantine: &Quarantine) -> io::Result<()> {
    let path = path(folder);
    if quarantine.entries().is_empty() {
        return match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    }
    let kept = Kept { program: PROGRAM.into(), bucket: bucket.into(), entries: quarantine.entries().into() };
    let text = serde_json::to_vec_pretty(&kept)?;
    let staged = folder.join(format!("{FILE}.new"));
    std::fs::create_dir_all(folder)?;
    std::fs::write(&staged, text)?;
    std::fs::rename(&staged, &path)
}

/// Has whatever waits in `folder` for its time be tried at once: whoever starts the program may have mended what failed.
/// Where that cannot be noted, it waits.
pub fn hurry(folder: &Path, bucket: &str) {
    let (mut quarantine, _) = read(folder, bucket);
    let before = quarantine.clone();
    quarantine.hurry();
    if quarantine != before {
        _ = write(folder, bucket, &quarantine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::job::Work;
    use crate::job::quarantine::Failure;

    #[test]
    fn it_is_kept_for_one_bucket_and_forgotten_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        assert_eq!(read(&folder, "b"), (Quarantine::default(), None));
        let mut quarantine = Quarantine::default();
        quarantine.failed(Work::Compaction, Failure::default(), &Error::new(Kind::Limit, "é \"x\""), 5, 0);
        write(&folder, "b", &quarantine).unwrap();
        assert_eq!(read(&folder, "b"), (quarantine.clone(), None));
        assert_eq!(read(&folder, "c"), (Quarantine::default(), None), "of another bucket");

        let text = std::fs::read_to_string(path(&folder)).unwrap();
        let other = text.replace(&format!("\"program\": \"{PROGRAM}\""), "\"program\": \"0.0.0\"");
        assert_ne!(other, text);
        std::fs::write(path(&folder), other).unwrap();
        assert_eq!(read(&folder, "b"), (Quarantine::default(), None), "of another version");
        for damaged in [&text.as_bytes()[..text.len() / 2], b"", b"\xff", b"[]"] {
            std::fs::write(path(&folder), damaged).unwrap();
            let (read, warning) = read(&folder, "b");
            assert!(read.entries().is_empty() && warning.unwrap().contains("quarantine.json cannot be read"));
        }

        write(&folder, "b", &Quarantine::default()).unwrap();
        assert!(!path(&folder).exists());
        write(&folder, "b", &Quarantine::default()).unwrap();
        write(&folder, "b", &quarantine).unwrap();
        assert_eq!(read(&folder, "b").0, quarantine);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }
}
