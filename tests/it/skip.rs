//! A peer that cannot be had is a named skip: counted by `tests/run`, a failure where skips are not allowed.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that test `name` was skipped and why; the caller returns after it.
///
/// `BLOCKYARD_SKIPS` names the file that `tests/run` counts skips in.
///
/// # Panics
/// With `BLOCKYARD_NO_SKIPS=1`: there a skip is a failure.
pub(crate) fn skip(name: &str, why: &str) {
    let forbidden = std::env::var("BLOCKYARD_NO_SKIPS").is_ok_and(|v| v == "1");
    assert!(!forbidden, "{name} cannot run: {why}");
    eprintln!("skipped {name}: {why}");
    if let Some(path) = std::env::var_os("BLOCKYARD_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file of skips");
        writeln!(file, "{name}: {why}").expect("the file of skips");
    }
}
