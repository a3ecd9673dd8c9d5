//! `format::tombstones` on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blockyard::format::tombstones::exercise(bytes));
