//! What was verified already, so that a run that was stopped goes on: a file with a line of JSON for each block.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::finding::{Check, Verdict};
use crate::error::{Error, Kind, Result};
use crate::model::BlockId;

/// One line.
#[derive(Serialize, Deserialize)]
struct Line {
    checks: Vec<Check>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// The file of one run.
pub(super) struct State {
    path: PathBuf,
    checks: Vec<Check>,
    known: HashMap<BlockId, Verdict>,
    file: File,
}

impl State {
    /// Reads what a run of the same checks left at `path`, and goes on behind it. A last line that was cut off, and
    /// lines of other checks, are as good as none.
    ///
    /// # Errors
    /// `Invalid` when the file cannot be opened.
    pub(super) fn open(path: &Path, checks: &[Check]) -> Result<State> {
        let failed = |e: std::io::Error| {
            Error::new(Kind::Invalid, format!("cannot use {} to keep what was verified", path.display()))
                .source(e)
                .next("name another file, or remove it to begin anew")
        };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        let mut known = HashMap::new();
        let mut whole = true;
        for line in BufReader::new(&file).lines() {
            let line = line.map_err(failed)?;
            whole = false;
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            whole = true;
            if line.checks == checks {
                known.insert(line.verdict.block, line.verdict);
            }
        }
        if !whole {
            // what follows must not join a line that was cut off
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(State { path: path.to_owned(), checks: checks.to_vec(), known, file })
    }

    /// The verdict of the run before.
    pub(super) fn take(&mut self, block: BlockId) -> Option<Verdict> {
        self.known.remove(&block)
    }

    /// One more block is done.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written.
    pub(super) fn add(&mut self, verdict: &Verdict) -> Result<()> {
        let failed = |why: String| Error::new(Kind::Unavailable, format!("cannot write {}: {why}", self.path.display()));
        let line = Line { checks: self.checks.clone(), verdict: verdict.clone() };
        let mut line = serde_json::to_string(&line).map_err(|e| failed(e.to_string()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|e| failed(e.to_string()))
    }

    /// All is done: the next run begins anew.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be removed.
    pub(super) fn finish(self) -> Result<()> {
        fs::remove_file(&self.path)
            .map_err(|e| Error::new(Kind::Unavailable, format!("cannot remove {}", self.path.display())).source(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_it_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let checks = [Check::Chunks, Check::Files];
        let verdict = |n: i64| {
            let mut verdict =
                Verdict { block: BlockId::from_parts(n, 1), findings: Default::default(), counted: Default::default() };
            verdict.findings.note(Check::Chunks, "chunks/000001", 8, "broken");
            verdict.counted.samples = n as u64;
            verdict
        };
        let mut first = State::open(&path, &checks).unwrap();
        first.add(&verdict(1)).unwrap();
        first.add(&verdict(2)).unwrap();
        drop(first);
        // the third line is cut off
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{}", &text[..20])).unwrap();
        let mut second = State::open(&path, &checks).unwrap();
        assert_eq!(second.take(BlockId::from_parts(1, 1)), Some(verdict(1)));
        assert_eq!(second.take(BlockId::from_parts(3, 1)), None);
        second.add(&verdict(3)).unwrap();
        drop(second);
        let mut third = State::open(&path, &checks).unwrap();
        assert_eq!(third.take(BlockId::from_parts(2, 1)), Some(verdict(2)));
        assert_eq!(third.take(BlockId::from_parts(3, 1)), Some(verdict(3)));
        drop(third);
        // of other checks nothing is known
        let mut other = State::open(&path, &[Check::Chunks]).unwrap();
        assert_eq!(other.take(BlockId::from_parts(1, 1)), None);
        other.finish().unwrap();
        assert!(!path.exists());
    }
}
