//! No bytes can hurt us: every decoder is given every truncation and a million seeded mutations of real
//! bytes, and a merge is given every damage that an object store can do to a block.

mod allocations;
mod damage;
mod decoders;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};

use allocations::peak_during;
use decoders::Decoder;
use mutate::{Chance, mutate};

/// What a decoder may hold while it reads, in bytes: so many times its input, and so much anyway.
const PEAK_TIMES: usize = 64;
const PEAK_BYTES: usize = 1 << 20;

/// Runs a decoder over `bytes`; `which` says how to get these bytes again.
fn exercise(decoder: &Decoder, bytes: &[u8], which: impl Fn() -> String) {
    let mut unwound = None;
    let peak = peak_during(|| unwound = catch_unwind(AssertUnwindSafe(|| (decoder.exercise)(bytes))).err());
    if let Some(panic) = unwound {
        let says = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        panic!("{} panics on {}: {}", decoder.name, which(), says.unwrap_or_default());
    }
    let limit = PEAK_TIMES * bytes.len() + PEAK_BYTES;
    assert!(peak <= limit, "{} holds {peak} bytes for {} on {}", decoder.name, bytes.len(), which());
}

fn truncations(decoder: &Decoder) {
    for (n, seed) in decoder.seeds.iter().enumerate() {
        for len in 0..=seed.len() {
            exercise(decoder, &seed[..len], || format!("seed {n} cut to {len} of {} bytes", seed.len()));
        }
    }
}

fn mutations(decoder: &Decoder) {
    let mut bytes = Vec::new();
    for n in 0..decoder.mutations {
        let mut chance = Chance::new(n);
        // short ones more often: they are quick, and have every field
        let seed =
            chance.below(decoder.seeds.len()).min(chance.below(decoder.seeds.len())).min(chance.below(decoder.seeds.len()));
        let seed = &decoder.seeds[seed];
        let other = &decoder.seeds[chance.below(decoder.seeds.len())];
        bytes.clear();
        bytes.extend_from_slice(seed);
        mutate(&mut bytes, other, &mut chance);
        if chance.below(4) != 0 {
            (decoder.mend)(&mut bytes, &mut chance);
        }
        exercise(decoder, &bytes, || format!("mutation {n}"));
    }
}

fn decoder(name: &str) -> Decoder {
    decoders::all().into_iter().find(|d| d.name == name).expect("a decoder of this name")
}

/// Two tests a decoder, and one that finds decoders without tests.
macro_rules! hostile {
    ($($name:ident: $truncated:ident, $mutated:ident;)*) => {
        $(
            #[test]
            fn $truncated() {
                truncations(&decoder(stringify!($name)));
            }

            #[test]
            fn $mutated() {
                mutations(&decoder(stringify!($name)));
            }
        )*

        #[test]
        fn every_decoder_is_exercised_a_million_times_in_all() {
            let mut all: Vec<_> = decoders::all().iter().map(|d| d.name).collect();
            assert_eq!(all, [$(stringify!($name)),*]);
            all.dedup();
            assert_eq!(decoders::all().iter().map(|d| d.mutations).sum::<u64>(), 1_000_000);
        }
    };
}

hostile! {
    chunk: truncated_chunks, mutated_chunks;
    index: truncated_indexes, mutated_indexes;
    segment: truncated_segments, mutated_segments;
    tombstones: truncated_tombstones, mutated_tombstones;
    meta: truncated_metas, mutated_metas;
    downsample: truncated_series, mutated_series;
    marks: truncated_marks, mutated_marks;
}
