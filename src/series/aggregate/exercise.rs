//! A downsampler on any bytes: what fuzzers and seeded mutations run.

use super::{AggregateChunk, AggregateChunks, Downsampler, FIVE_MINUTES};
use crate::format::chunk::{Aggregate, Encoding, Samples};
use crate::model::Millis;

/// Takes the first byte for the resolution, and the rest as chunks: an encoding byte, 16 bits of length,
/// and the data.
///
/// # Panics
/// Never; when it does, or when two ways of making an hour disagree, that is a bug here.
pub fn exercise(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let resolution = if first & 1 == 0 { 0 } else { FIVE_MINUTES };
    let chunks = split(rest);
    let mut downsampler = Downsampler::new();
    let Some((_, both)) = run(&mut downsampler, resolution, &chunks) else { return };
    let alone = run(&mut downsampler, resolution, &chunks).expect("what could be done once").1;
    assert_eq!(both, alone, "a downsampler that was used is as a new one");
}

/// The chunks of an input; an encoding that is none is taken for one that is.
fn split(mut input: &[u8]) -> Vec<(Encoding, &[u8])> {
    let mut chunks = Vec::new();
    while let [encoding, high, low, rest @ ..] = input {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (data, behind) = rest.split_at(len);
        let encoding = Encoding::from_byte(*encoding).unwrap_or(Encoding::ALL[usize::from(*encoding) % Encoding::ALL.len()]);
        chunks.push((encoding, data));
        input = behind;
    }
    chunks
}

/// Both resolutions of a series, or none after an error; an hour is the same in one step and in two.
fn run(
    downsampler: &mut Downsampler,
    resolution: Millis,
    chunks: &[(Encoding, &[u8])],
) -> Option<(AggregateChunks, AggregateChunks)> {
    for (n, &(encoding, data)) in chunks.iter().enumerate() {
        // times that the samples need not have anything to do with
        let time = n as Millis;
        downsampler.push(resolution, encoding, data, time, time).ok()?;
    }
    let (mut five, mut hour) = (AggregateChunks::default(), AggregateChunks::default());
    let five_asked = (resolution == 0).then_some(&mut five);
    downsampler.finish(five_asked, Some(&mut hour)).ok()?;
    sound(&five);
    sound(&hour);
    if resolution == 0 {
        let pushed = five.iter().try_for_each(|(&AggregateChunk { min_time, max_time, .. }, data)| {
            downsampler.push(FIVE_MINUTES, Encoding::Aggregate, data, min_time, max_time)
        });
        let mut again = AggregateChunks::default();
        if pushed.is_ok() && downsampler.finish(None, Some(&mut again)).is_ok() {
            assert_eq!(again, hour, "an hour in two steps");
        }
    }
    Some((five, hour))
}

/// Everything that was written reads.
fn sound(chunks: &AggregateChunks) {
    assert_eq!(chunks.iter().map(|(_, data)| data.len()).sum::<usize>(), chunks.bytes.len());
    for (chunk, data) in chunks.iter() {
        assert!(chunk.min_time <= chunk.max_time);
        for (_, encoding, data) in Aggregate::parse(data).expect("an aggregate that was written here").iter() {
            assert!(Samples::new(encoding, data).expect("a chunk that was written here").all(|sample| sample.is_ok()));
        }
    }
}
