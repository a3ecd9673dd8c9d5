//! The program as its users meet it: arguments in, exit code, standard output and standard error out.

mod compact;
mod demo;
mod expire;
mod full;
mod kill;
mod mend;
#[path = "../../../tests/it/moto.rs"]
mod moto;
mod plan;
mod rewrite;
mod serve;
#[path = "../../../tests/it/skip.rs"]
mod skip;
mod soak;
mod tools;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};

/// How a run ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program in `dir` and waits for it.
fn blockyard(dir: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_blockyard"))
        .args(arguments)
        .current_dir(dir)
        .env("BLOCKYARD_TEST_DIRECTORY", dir)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Every file below `dir` with its length and a hash of its bytes.
fn snapshot(dir: &Path) -> BTreeMap<String, (usize, u64)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
                let bytes = std::fs::read(&path).expect("a file");
                let mut hash = DefaultHasher::new();
                bytes.hash(&mut hash);
                found.insert(name, (bytes.len(), hash.finish()));
            }
        }
    }
    found
}

/// The configuration of a bucket in `dir/bucket`.
fn objstore(dir: &Path) -> String {
    format!("--objstore.config={{type: FILESYSTEM, config: {{directory: '{}'}}}}", dir.join("bucket").display())
}

#[test]
fn helps() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["compact", "--help"], &["help", "compact"]] {
        let ran = blockyard(dir.path(), arguments);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ran.out.contains("Exit codes:") && ran.out.contains("--log.level"), "{}", ran.out);
    }
    let ran = blockyard(dir.path(), &["compact", "-h"]);
    assert!(ran.out.contains("--objstore.config-file") && !ran.out.contains("--debug."), "{}", ran.out);
    let ran = blockyard(dir.path(), &["tools", "bucket", "--help"]);
    for command in ["ls", "inspect", "verify", "mark", "retention", "cleanup"] {
        assert!(ran.out.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {}", ran.out);
    }
}

#[test]
fn tells_its_version() {
    let ran = blockyard(Path::new("."), &["--version"]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("blockyard {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_is_2_and_names_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["compact", "--bogus"], "--bogus"),
        (&["bogus"], "bogus"),
        (&["compact", "@flags"], "unexpected argument '@flags'"),
        (&[], "Usage"),
        (&["compact", "--log.level=trace"], "--log.level"),
        (&["compact", "--consistency-delay=90"], "no unit"),
        (&["compact"], "no bucket is given; set --objstore.config-file=PATH"),
        (
            &["compact", "--objstore.config=a", "--objstore.config-file=b"],
            "both --objstore.config-file and --objstore.config are set",
        ),
        (&["compact", "--objstore.config-file=nowhere.yml"], "cannot read nowhere.yml for --objstore.config-file: No such file"),
    ];
    for (arguments, message) in cases {
        let ran = blockyard(dir.path(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{arguments:?}: {}", ran.err);
    }
    assert!(snapshot(dir.path()).is_empty());
}

#[test]
fn configurations_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    for (config, message) in [
        ("config: {directory: x}", "type"),
        ("type: FLOPPY", "FLOPPY"),
        ("{type: FILESYSTEM, config: {directory: $(BLOCKYARD_NOT_SET)}}", "BLOCKYARD_NOT_SET"),
    ] {
        let ran = blockyard(dir.path(), &["compact", &format!("--objstore.config={config}")]);
        assert_eq!(ran.code, Some(2), "{config}: {}", ran.err);
        assert!(ran.err.contains(message), "{config}: {}", ran.err);
    }
}

#[test]
fn log_lines_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let line = |format: &str| {
        let ran = blockyard(dir.path(), &["compact", "--log.format", format]);
        ran.err.lines().last().expect("a line").to_owned()
    };
    let logfmt = line("logfmt");
    for part in ["ts=20", " caller=main.rs:", " level=error ", " msg=\"command failed\"", " kind=invalid", " err=\"no bucket"] {
        assert!(logfmt.contains(part), "{logfmt}");
    }
    let json: BTreeMap<String, serde_json::Value> = serde_json::from_str(&line("json")).expect("JSON");
    let keys: Vec<_> = json.keys().map(String::as_str).collect();
    assert_eq!(keys, ["caller", "err", "kind", "level", "msg", "ts"]);
    let journald = blockyard(dir.path(), &["compact", "--log.format=journald"]);
    let lines: Vec<&str> = journald.err.lines().collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.starts_with("ts=20")), "{}", journald.err);
    assert!(lines[0].contains("level=warn") && lines[0].contains("journald"), "{}", journald.err);
    let quiet = blockyard(dir.path(), &["compact", "--log.level=error", &objstore(dir.path()), "--tracing.config=x"]);
    assert_eq!(quiet.err, "");
}
