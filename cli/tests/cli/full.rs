//! A file system without room, a small one that is really there: whatever is missing when it is full, nothing is marked,
//! nothing is seen of the new block, and with room the pass makes the bytes that it always makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::compact::bucket;
use crate::skip::skip;
use crate::{blockyard, objstore, snapshot};

const PLAIN: [&str; 4] = ["compact", "--consistency-delay=0s", "--downsampling.disable", "--http-address="];

/// Set in a process that has mounts of its own.
const INSIDE: &str = "BLOCKYARD_TEST_MOUNTS";

/// A file system in memory; it goes when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, kilobytes: u64) -> Option<Mounted> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={kilobytes}k");
        let done = quiet("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        done.is_ok_and(|status| status.success()).then(|| Mounted(at.to_owned()))
    }

    /// Leaves so much room.
    fn leave(&self, kilobytes: u64) {
        let filler = self.0.join("filler");
        let _ = fs::remove_file(&filler);
        let told = Command::new("df").args(["-k", "--output=avail"]).arg(&self.0).output().unwrap();
        let free: u64 = String::from_utf8(told.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
        fs::write(filler, vec![0; (free.saturating_sub(kilobytes) << 10) as usize]).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = quiet("umount").arg("-l").arg(&self.0).status();
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs `test`, named `name`, where mounting is allowed: here, or in a process with mounts of its own.
fn with_mounts(name: &str, test: impl FnOnce()) {
    let dir = tempfile::tempdir().unwrap();
    if Mounted::new(&dir.path().join("try"), 64).is_some() {
        return test();
    }
    let may_unshare = quiet("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    if std::env::var_os(INSIDE).is_some() || !may_unshare {
        return skip(name, "no file system can be mounted (it takes root or user namespaces)");
    }
    let again = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(again.success(), "{name} failed in a process with mounts of its own");
}

/// Files of the only block of level 2, but for `meta.json`.
fn made(bucket: &Path) -> Option<BTreeMap<String, (usize, u64)>> {
    let is_made = |block: &PathBuf| {
        let meta = fs::read(block.join("meta.json")).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&meta).is_ok_and(|m| m["compaction"]["level"] == 2)
    };
    let mut blocks = fs::read_dir(bucket).unwrap().map(|e| e.unwrap().path()).filter(is_made);
    let block = blocks.next()?;
    assert_eq!(blocks.next(), None, "twice");
    let mut files = snapshot(&block);
    files.remove("meta.json");
    Some(files)
}

fn undisturbed() -> BTreeMap<String, (usize, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(dir.path());
    let ran = blockyard(dir.path(), &[&PLAIN[..], &[&objstore(dir.path())]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    made(&bucket).expect("a new block")
}

#[test]
fn a_bucket_without_room_is_as_it_was_until_there_is_room() {
    with_mounts("full::a_bucket_without_room_is_as_it_was_until_there_is_room", || {
        let expected = undisturbed();
        let kilobytes: u64 = expected.values().map(|file| file.0 as u64 >> 10).sum();
        assert!(kilobytes > 1000, "{expected:?}");
        let dir = tempfile::tempdir().unwrap();
        let mut without_room = 0;
        // room for nothing, for a part of the segment, of the index, for all but meta.json, for all but the marks
        for room in (0..16).map(|n| n * kilobytes / 14).chain(kilobytes - 4..kilobytes + 20) {
            let disk = dir.path().join(format!("disk-{room}"));
            let mounted = Mounted::new(&disk, 16 << 10).expect("it could be mounted before");
            let bucket = bucket(&disk);
            mounted.leave(room);
            let before = snapshot(&bucket);
            let config = objstore(&disk);
            let arguments = [&PLAIN[..], &[&config]].concat();
            let ran = blockyard(dir.path(), &arguments);
            match (ran.code, made(&bucket)) {
                (Some(0), Some(files)) => assert_eq!(files, expected, "{room}"),
                // it is whole, and seen; some of what it was made of could not be marked
                (Some(1), Some(files)) => assert_eq!(files, expected, "{room}: {}", ran.err),
                (Some(1), None) => {
                    without_room += 1;
                    assert_eq!(snapshot(&bucket), before, "{room}: {}", ran.err);
                    let told = ran.err.contains("there is no room for") && ran.err.contains("make room on that file system");
                    assert!(told && ran.err.contains(&disk.display().to_string()), "{room}: {}", ran.err);
                }
                (code, files) => panic!("{room}: {code:?}, {files:?}: {}", ran.err),
            }
            fs::remove_file(disk.join("filler")).unwrap();
            let again = blockyard(dir.path(), &arguments);
            assert_eq!(again.code, Some(0), "{room}: {}", again.err);
            assert_eq!(made(&bucket).as_ref(), Some(&expected), "{room}");
            let quarantine = fs::read_to_string(dir.path().join("data/quarantine.json")).unwrap_or_default();
            assert!(!quarantine.contains("quarantined"), "{room}: {quarantine}");
            fs::remove_dir_all(dir.path().join("data")).unwrap();
        }
        assert!(without_room >= 14, "{without_room}");
    });
}

#[test]
fn a_data_folder_without_room_costs_a_cache() {
    with_mounts("full::a_data_folder_without_room_costs_a_cache", || {
        let dir = tempfile::tempdir().unwrap();
        let bucket = bucket(dir.path());
        let mounted = Mounted::new(&dir.path().join("data"), 64).expect("it could be mounted before");
        mounted.leave(0);
        let ran = blockyard(dir.path(), &[&PLAIN[..], &[&objstore(dir.path())]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(made(&bucket), Some(undisturbed()));
    });
}
