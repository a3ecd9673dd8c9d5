//! The house's rules that a test can hold: floors look down, names say something, nothing is left open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines: two ideas share a room long before.
const FILE_LINES: usize = 700;

/// Names of files that say nothing about what is in them.
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "helpers", "misc", "manager"];

/// Files that may hold `unsafe`, each block with a `SAFETY` comment that says who guarantees it.
const UNSAFE_FILES: [&str; 2] = ["cli/src/memory.rs", "tests/it/hostile/allocations.rs"];

/// Which rooms of the crate a floor may import from besides itself; the gate is four rooms.
const FLOORS: [(&str, &[&str]); 12] = [
    ("encoding", &[]),
    ("model", &[]),
    ("format", &["encoding", "model"]),
    ("series", &["model", "format"]),
    ("promql", &["model", "series"]),
    ("error", &["encoding", "model"]),
    ("clock", &["encoding", "model", "error"]),
    ("disk", &["encoding", "model", "error", "clock"]),
    ("bucket", &["encoding", "model", "error", "clock", "disk"]),
    ("block", &["encoding", "model", "format", "series", "error", "clock", "disk", "bucket"]),
    ("job", &["model", "format", "series", "error", "clock", "disk", "bucket", "block", "head"]),
    ("serve", &["model", "series", "promql", "error", "clock", "disk", "bucket", "block", "head", "job"]),
];

/// What the doors may import from the library: values of the ground, the gate to open a bucket, jobs.
const DOORS: [&str; 6] = ["model", "error", "clock", "bucket", "job", "serve"];

/// What no floor below the gate may name: IO, threads, clocks, logs.
const ABOVE_THE_GATE: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "std::env",
    "tokio",
    "futures",
    "object_store",
    "rayon",
    "tracing::",
    "log::",
    "println!",
    "async fn",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, ordered, as (path from the root, path), without build outputs and hidden folders.
fn files(dir: &Path, out: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut entries: Vec<_> = entries.map(|e| e.expect("a directory entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if ["target", ".git", ".venv"].contains(&name.as_str()) {
            continue; // `.git` is a file in a linked work tree
        }
        if path.is_dir() {
            files(&path, out);
        } else {
            let from_root = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            out.push((from_root, path));
        }
    }
}

fn sources(of: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for dir in of {
        files(&root().join(dir), &mut found);
    }
    found.retain(|(name, _)| name.ends_with(".rs"));
    found.into_iter().map(|(name, path)| (name, fs::read_to_string(path).expect("source text"))).collect()
}

/// The lines of code before the tests, numbered from 1, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].lines().enumerate().filter_map(|(n, line)| {
        let line = line.split("// ").next().unwrap_or(line);
        let bare = line.trim_start();
        (!bare.is_empty() && !bare.starts_with("//")).then_some((n + 1, line))
    })
}

/// The rooms that `text` names behind `head` (`crate::`), with line numbers; `crate::{a, b::c}` names a and b.
fn rooms(text: &str, head: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (n, line) in code(text) {
        for (at, _) in line.match_indices(head) {
            if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &line[at + head.len()..];
            match rest.strip_prefix('{') {
                Some(group) => {
                    let mut depth = 0;
                    for part in group.split_inclusive([',', '{', '}']) {
                        if depth == 0 {
                            out.push((n, word(part.trim_start())));
                        }
                        depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                        if depth < 0 {
                            break;
                        }
                    }
                }
                None => out.push((n, word(rest))),
            }
        }
    }
    out.retain(|(_, room)| room.starts_with(|c: char| c.is_lowercase()));
    out
}

fn word(s: &str) -> String {
    s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn floor_of(file: &str) -> &str {
    let path = file.strip_prefix("src/").unwrap_or(file);
    path.split('/').next().and_then(|f| f.strip_suffix(".rs").or(Some(f))).unwrap_or(path)
}

/// What is wrong with `text` as the source file `file` by the table of floors.
fn climbs(file: &str, text: &str) -> Vec<String> {
    let floor = floor_of(file);
    if floor == "lib" {
        return Vec::new();
    }
    let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
        return vec![format!("{file}: no floor is called {floor}; put it into the table of tidy.rs and of the architecture")];
    };
    let mut wrong = Vec::new();
    for (n, room) in rooms(text, "crate::") {
        // re-exports at the root: `crate::Result` is not a room; a macro is where it is defined
        if room != floor && !below.contains(&room.as_str()) {
            wrong.push(format!("{file}:{n}: {floor} may not import {room}"));
        }
    }
    let ground = ["encoding", "model", "format", "series", "promql"].contains(&floor);
    for (n, line) in code(text).filter(|_| ground) {
        for name in ABOVE_THE_GATE {
            if line.contains(name) {
                wrong.push(format!("{file}:{n}: {name} has no place below the gate"));
            }
        }
    }
    wrong
}

fn check(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn floors_look_down() {
    let wrong: Vec<_> = sources(&["src"]).iter().flat_map(|(file, text)| climbs(file, text)).collect();
    check(&wrong);
}

#[test]
fn a_floor_that_looks_up_is_found() {
    assert_eq!(climbs("src/format/x.rs", "use crate::series::Merge;\n").len(), 1);
    assert_eq!(climbs("src/format/x/y.rs", "use crate::{encoding::Cursor, model, job::plan, series};\n").len(), 2);
    assert_eq!(climbs("src/model/x.rs", "let t = std::time::Instant::now();\n").len(), 1);
    assert_eq!(climbs("src/job/x.rs", "use crate::block::open;\nuse crate::encoding::varint;\n").len(), 1);
    assert_eq!(climbs("src/cellar/x.rs", "").len(), 1);
    assert_eq!(climbs("src/format/x.rs", "//! [`crate::job`]\nuse crate::format::chunk; // crate::job\n").len(), 0);
    assert_eq!(climbs("src/model/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::encoding::Cursor;\n}\n").len(), 0);
}

#[test]
fn doors_touch_only_what_is_theirs() {
    let mut wrong = Vec::new();
    // tests behind the door account for what it left, and have to read it
    for (file, text) in sources(&["cli", "bucketweb"]).iter().filter(|(file, _)| !file.starts_with("cli/tests/")) {
        for (n, room) in rooms(text, "blockyard::") {
            if !DOORS.contains(&room.as_str()) {
                wrong.push(format!("{file}:{n}: a door may not import {room}"));
            }
        }
    }
    check(&wrong);
}

#[test]
fn jobs_know_no_flags_and_no_server() {
    let mut wrong = Vec::new();
    for (file, text) in sources(&["src"]) {
        for (n, line) in code(&text) {
            for name in ["clap::", "indicatif::"] {
                if line.contains(name) {
                    wrong.push(format!("{file}:{n}: {name} belongs to the doors"));
                }
            }
            for name in ["axum::", "hyper::", "tonic::"] {
                if line.contains(name) && floor_of(&file) != "serve" {
                    wrong.push(format!("{file}:{n}: {name} belongs to what serves"));
                }
            }
        }
    }
    check(&wrong);
}

#[test]
fn files_are_rooms_with_a_name() {
    let mut wrong = Vec::new();
    for (file, text) in sources(&["src", "cli", "tests", "benches", "fuzz", "bucketweb"]) {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{file}: {lines} lines, do two ideas share a room?"));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{file}: no `//!` head says what this is"));
        }
        for part in Path::new(&file).with_extension("").iter() {
            let part = part.to_string_lossy();
            let versioned = part.rsplit_once("_v").is_some_and(|(_, n)| n.parse::<u32>().is_ok_and(|n| n > 1));
            if EMPTY_NAMES.contains(&&*part) || (versioned && !part.contains("index_v")) {
                wrong.push(format!("{file}: the name {part} does not say what is in it"));
            }
        }
    }
    check(&wrong);
}

#[test]
fn nothing_is_left_open() {
    let marks = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("XX", "X")];
    let silent = [
        concat!("#[ign", "ore"),
        concat!("#[allow(dead", "_code"),
        concat!("#[allow(un", "used"),
        concat!("#[allow(clippy:", ":all"),
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources(&["src", "cli", "tests", "benches", "fuzz", "bucketweb"]) {
        for (n, line) in text.lines().enumerate() {
            for mark in marks {
                if line.contains(mark) {
                    wrong.push(format!("{file}:{}: {mark} left open", n + 1));
                }
            }
            for mark in silent {
                if line.contains(mark) && !line.contains("reason = ") && !line.contains("// ") {
                    wrong.push(format!("{file}:{}: {mark} without its reason", n + 1));
                }
            }
        }
    }
    check(&wrong);
}

#[test]
fn no_path_of_one_machine() {
    let paths = [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("../sha", "red"), concat!("/tmp/", "wt")];
    let mut found = Vec::new();
    files(&root(), &mut found);
    let mut wrong = Vec::new();
    for (file, path) in found {
        if file.ends_with(".lock") || file.starts_with("testdata/") && !file.ends_with(".md") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (n, line) in text.lines().enumerate() {
            for p in paths {
                if line.contains(p) {
                    wrong.push(format!("{file}:{}: a path of one machine, {p}", n + 1));
                }
            }
        }
    }
    check(&wrong);
}

/// The words of a page that claim to be files of this project: `src/...` in backticks, targets of links.
fn named_paths(page: &str) -> Vec<(usize, String)> {
    let rooms = ["src/", "cli/", "tests/", "testdata/", "docs/", "benches/", "fuzz/", "deploy/", "bucketweb/", ".ci/"];
    let mut out = Vec::new();
    for (n, line) in page.lines().enumerate() {
        let quoted = line.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        let linked = line.split("](").skip(1).filter_map(|l| l.split([')', '#']).next()).filter(|l| !l.contains(':'));
        for p in quoted.filter(|p| rooms.iter().any(|r| p.starts_with(r))).chain(linked) {
            let p = p.trim_end_matches([',', '.', ';', ':']).split("::").next().unwrap_or(p);
            if !p.is_empty() && !p.contains(['*', '<', '{', '$', '|', '…', 'N']) && !p.ends_with("...") {
                out.push((n + 1, p.to_string()));
            }
        }
    }
    out
}

#[test]
fn pages_name_what_exists() {
    let mut found = Vec::new();
    files(&root().join("docs"), &mut found);
    for page in ["README.md", "CHANGELOG.md"] {
        found.push((page.to_string(), root().join(page)));
    }
    let mut wrong = Vec::new();
    for (page, path) in found.into_iter().filter(|(page, _)| page.ends_with(".md")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (n, named) in named_paths(&text) {
            let beside = path.parent().expect("a folder").join(&named);
            if !root().join(&named).exists() && !beside.exists() {
                wrong.push(format!("{page}:{n}: there is no {named}"));
            }
        }
    }
    check(&wrong);
}

#[test]
fn names_in_pages_are_found() {
    let page =
        "see `src/format/chunk.rs` and [why](decisions/0001-x.md), `cargo run`, `src/*`, [web](https://a/b)\n`tests/run --x`.";
    let names: Vec<_> = named_paths(page).into_iter().map(|(n, p)| format!("{n} {p}")).collect();
    assert_eq!(names, ["1 src/format/chunk.rs", "1 decisions/0001-x.md", "2 tests/run"]);
}

#[test]
fn unsafe_says_who_guarantees_it() {
    let mut wrong = Vec::new();
    let mut blocks: BTreeMap<String, usize> = BTreeMap::new();
    let word = concat!("un", "safe ");
    for (file, text) in sources(&["src", "cli", "tests", "benches", "bucketweb"]) {
        let lines: Vec<_> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let bare = line.trim_start();
            if bare.starts_with("//") || !bare.contains(word) {
                continue;
            }
            *blocks.entry(file.clone()).or_default() += 1;
            if !lines[n.saturating_sub(6)..n].iter().any(|l| l.contains("SAFETY:")) {
                wrong.push(format!("{file}:{}: no SAFETY comment says who guarantees this", n + 1));
            }
        }
    }
    for file in blocks.keys().filter(|f| !UNSAFE_FILES.contains(&f.as_str())) {
        wrong.push(format!("{file}: not a file that may hold {word}(see UNSAFE_FILES)"));
    }
    check(&wrong);
}
