//! Everything that reads chunks, on any bytes: what fuzzers and the seeded mutations below run.

use super::*;
use crate::model::{Sample, Value};

/// Takes the first byte as an encoding and runs every reader and appender on the rest.
///
/// # Panics
/// Never; when it does, or when two readers disagree, that is a bug here.
pub fn exercise(input: &[u8]) {
    if let Some((&byte, data)) = input.split_first() {
        let encoding = Encoding::from_byte(byte).unwrap_or(Encoding::ALL[usize::from(byte) % Encoding::ALL.len()]);
        one(encoding, data);
    }
}

fn one(encoding: Encoding, data: &[u8]) {
    let count = sample_count(encoding, data);
    let described = describe(encoding, data, 0);
    if encoding == Encoding::Aggregate {
        if let Ok(parts) = Aggregate::parse(data) {
            assert_eq!(encode_aggregate(AggregateKind::ALL.map(|kind| parts.get(kind))).is_empty(), data.is_empty());
            parts.iter().for_each(|(_, encoding, data)| one(encoding, data));
        }
        return;
    }
    let mut columns = Columns::new();
    let whole = decode_columns(encoding, data, &mut columns);
    let Ok(mut samples) = Samples::new(encoding, data) else {
        assert!(whole.is_err() && described.is_err());
        return;
    };
    let mut sample = Sample { time: 0, start: 0, value: Value::Float(0.0) };
    let mut times = Vec::new();
    let ended = loop {
        match samples.next_into(&mut sample) {
            Ok(true) => times.push(sample.time),
            Ok(false) => break Ok(()),
            Err(e) => break Err(e),
        }
    };
    assert_eq!((&ended, &times), (&whole, &columns.times));
    assert!(matches!(samples.advance(), Ok(false)), "it ends after an error");
    if ended.is_ok() {
        assert_eq!(count, Ok(times.len() as u32));
    }
    append(encoding, data, &sample.value);
}

/// One more sample behind those of the chunk, as the last of them or none.
fn append(encoding: Encoding, data: &[u8], last: &Value) {
    let room = |count: u32| count < u32::from(u16::MAX);
    let again = match (encoding, last) {
        (Encoding::Xor, Value::Float(value)) => {
            let Some(mut chunk) = XorAppender::reopen(data).ok().filter(|c| room(c.count())) else { return };
            chunk.append(0, *value);
            chunk.into_bytes()
        }
        (Encoding::Histogram, Value::Histogram(last)) => {
            let Ok(mut chunk) = HistogramAppender::reopen(data) else { return };
            let Ok(_) = chunk.append(0, last, None, Mode::MayCut) else { return };
            chunk.into_bytes()
        }
        (Encoding::FloatHistogram, Value::FloatHistogram(last)) => {
            let Ok(mut chunk) = FloatHistogramAppender::reopen(data) else { return };
            let Ok(_) = chunk.append(0, last, None, Mode::MayCut) else { return };
            chunk.into_bytes()
        }
        _ => return,
    };
    let samples: Vec<_> = Samples::new(encoding, &again).expect("a chunk that was written here").collect();
    assert!(samples.iter().all(Result::is_ok), "{samples:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Encoding, data: &[u8]) {
        exercise(&[&[encoding.as_byte()], data].concat());
    }

    /// Numbers that are the same in every run.
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit.max(1) as u64) as usize
        }
    }

    /// The shortest golden chunks of each encoding.
    fn seeds(each: usize) -> Vec<golden::Golden> {
        let mut chunks = golden::chunks();
        chunks.sort_by_key(|c| (c.encoding, c.data.len()));
        let mut kept: Vec<golden::Golden> = Vec::new();
        for chunk in chunks {
            if kept.iter().filter(|k| k.encoding == chunk.encoding).count() < each {
                kept.push(chunk);
            }
        }
        kept
    }

    #[test]
    fn every_truncation() {
        for chunk in seeds(3) {
            for len in 0..=chunk.data.len() {
                check(chunk.encoding, &chunk.data[..len]);
            }
        }
    }

    #[test]
    fn truncated_chunks_of_floats_are_errors() {
        for chunk in seeds(3).into_iter().filter(|c| matches!(c.encoding, Encoding::Xor | Encoding::Xor2)) {
            for len in 0..chunk.data.len() {
                let read = FloatSamples::new(chunk.encoding, &chunk.data[..len]);
                assert!(read.is_err() || read.unwrap().any(|s| s.is_err()), "{} of {} bytes", len, chunk.data.len());
            }
        }
    }

    #[test]
    fn thousands_of_mutations() {
        let mut random = Seeded(0x9e37_79b9_7f4a_7c15);
        for chunk in seeds(4) {
            for _ in 0..400 {
                let mut data = chunk.data.clone();
                for _ in 0..=random.below(4) {
                    // headers are small and matter more
                    let within = if random.below(3) == 0 { 12 } else { data.len() };
                    let at = random.below(within).min(data.len() - 1);
                    match random.below(4) {
                        0 => data[at] ^= 1 << random.below(8),
                        1 => data[at] = [0, 255, 128, 127][random.below(4)],
                        2 => data.truncate(at.max(1)),
                        _ => data.insert(at, random.below(256) as u8),
                    }
                }
                check(chunk.encoding, &data);
            }
        }
    }

    #[test]
    fn noise() {
        let mut random = Seeded(7);
        for _ in 0..3000 {
            let len = random.below(200);
            let data: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
            exercise(&data);
            for encoding in Encoding::ALL {
                // few samples, so that what is behind the header is reached
                let mut few = vec![0, random.below(8) as u8];
                few.extend_from_slice(&data);
                check(encoding, &few);
            }
        }
    }

    #[test]
    fn more_samples_than_bits() {
        for encoding in Encoding::ALL.into_iter().filter(|&e| e != Encoding::Aggregate) {
            let data = [0xff; 200];
            assert!(Samples::new(encoding, &data).is_err(), "{encoding}");
        }
    }
}
