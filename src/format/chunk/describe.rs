//! Every bit of a chunk with its meaning, told by the readers themselves.

use std::fmt::Write;

use super::aggregate::take_slot;
use super::bits::{Field, PART};
use super::header::{HINT_BYTE, Header};
use super::histogram::NativeReader;
use super::native::Native;
use super::{AggregateKind, Encoding, FloatSamples};
use crate::encoding::{Cursor, Dump, Malformed};
use crate::model::{BucketSpan, FloatHistogram, Histogram};

/// Bits of a field that are shown one by one.
const SHOWN_BITS: usize = 80;

/// Prints a chunk (without its encoding byte) that lies `base` bytes into its object: one line a
/// sample with the bytes it ends, then its fields with their bits.
///
/// # Errors
/// [`Malformed`] as the readers of the encoding have it.
pub fn describe(encoding: Encoding, data: &[u8], base: u64) -> Result<String, Malformed> {
    let mut dump = Dump::new(data, base);
    describe_into(&mut dump, encoding, data)?;
    Ok(dump.finish())
}

/// The same within the description of an enclosing object: `data` are the next bytes of `dump`.
///
/// # Errors
/// [`Malformed`] as the readers of the encoding have it; offsets count from the start of `data`.
pub fn describe_into(dump: &mut Dump<'_>, encoding: Encoding, data: &[u8]) -> Result<(), Malformed> {
    if encoding == Encoding::Aggregate {
        return aggregate(dump, data);
    }
    let header = Header::read(encoding, data)?;
    let mut walk = Walk { base: dump.index(), data, from: header.len * 8, fields: Vec::new(), dump };
    walk.header(encoding, &header);
    let mut index = 0;
    match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            let mut r = FloatSamples::new(encoding, data)?;
            while r.advance_seen(|f, at| walk.fields.push((f, at)))? {
                walk.sample(index, r.time(), &float(r.value()), r.start(), |_| String::new());
                index += 1;
            }
        }
        Encoding::Histogram | Encoding::HistogramSt => walk.histograms(NativeReader::<Histogram>::new(encoding, data)?)?,
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            walk.histograms(NativeReader::<FloatHistogram>::new(encoding, data)?)?;
        }
        Encoding::Aggregate => return Err(Malformed::new(PART, 0, "an aggregate within itself")),
    }
    walk.padding();
    Ok(())
}

fn float(float: f64) -> String {
    format!("{float} ({:016x})", float.to_bits())
}

/// The description of one chunk under way.
struct Walk<'w, 'd> {
    dump: &'w mut Dump<'d>,
    /// Where the chunk begins in what is dumped.
    base: usize,
    data: &'w [u8],
    /// The first bit that was not described.
    from: usize,
    /// Fields of the next sample and the bits behind them.
    fields: Vec<(Field, usize)>,
}

impl Walk<'_, '_> {
    fn header(&mut self, encoding: Encoding, header: &Header) {
        let samples = format!("{} samples", header.samples);
        let hint = format!("reset hint {:?}", header.hint);
        let starts = match (header.starts.first, header.starts.from) {
            (false, 0) => "no start times".to_owned(),
            (true, 0) => "start time of the first sample".to_owned(),
            (false, from) => format!("start times from sample {from} on"),
            (true, from) => format!("start times of the first sample and from sample {from} on"),
        };
        let (first, second) = match encoding {
            Encoding::Xor | Encoding::Aggregate => (samples, None),
            Encoding::Xor2 => (samples, Some(starts)),
            Encoding::Histogram | Encoding::FloatHistogram => (samples, Some(hint)),
            Encoding::HistogramSt | Encoding::FloatHistogramSt => (format!("{hint}, {samples}"), Some(starts)),
        };
        self.dump.field(self.base + HINT_BYTE, format!("{encoding}: {first}"));
        if let Some(second) = second {
            self.dump.field(self.base + header.len, second);
        }
    }

    fn histograms<H: Native>(&mut self, mut r: NativeReader<'_, H>) -> Result<(), Malformed> {
        let mut index = 0;
        while r.advance_seen(|f, at| self.fields.push((f, at)))? {
            let view = r.last.view();
            let (count, zero_count) = r.last.counts();
            let told = |field: Field| match field {
                Field::ZeroThreshold => view.zero_threshold.to_string(),
                Field::Schema => view.schema.to_string(),
                Field::PositiveSpans => spans(view.spans[0]),
                Field::NegativeSpans => spans(view.spans[1]),
                Field::Bounds => format!("{:?}", view.bounds),
                Field::Count => format!("{count:?}"),
                Field::ZeroCount => format!("{zero_count:?}"),
                Field::Sum => float(view.sum),
                Field::PositiveBuckets => format!("{:?}", view.buckets[0]),
                Field::NegativeBuckets => format!("{:?}", view.buckets[1]),
                _ => String::new(),
            };
            self.sample(index, r.time, "histogram", r.starts.start, told);
            index += 1;
        }
        Ok(())
    }

    /// A line with the bytes that the sample ends, and one for each field.
    fn sample(&mut self, index: usize, time: i64, value: &str, start: i64, told: impl Fn(Field) -> String) {
        let mut meaning = format!("sample {index}: time {time}, {value}");
        if start != 0 {
            let _ = write!(meaning, ", since {start}");
        }
        let end = self.base + self.fields.last().map_or(self.from, |&(_, at)| at) / 8;
        if end > self.dump.index() {
            self.dump.field(end, meaning);
        } else {
            self.dump.note(meaning);
        }
        for (field, at) in std::mem::take(&mut self.fields) {
            if at > self.from {
                let told = told(field);
                let line = format!("  bits {}..{at} {} {field:?} {told}", self.from, self.bits(at));
                self.dump.note(line.trim_end());
                self.from = at;
            }
        }
    }

    /// The bits up to `end` as digits.
    fn bits(&self, end: usize) -> String {
        if end - self.from > SHOWN_BITS {
            return format!("({} bits)", end - self.from);
        }
        let bit = |i: usize| (self.data[i / 8] >> (7 - i % 8)) & 1 == 1;
        (self.from..end).map(|i| if bit(i) { '1' } else { '0' }).collect()
    }

    /// What is left of the last byte.
    fn padding(&mut self) {
        let used = self.from % 8;
        if used > 0 {
            self.dump.field(self.base + self.from.div_ceil(8), format!("ends with {} bits of padding", 8 - used));
        }
        if self.base + self.data.len() > self.dump.index() {
            self.dump.field(self.base + self.data.len(), "bytes behind the last sample");
        }
    }
}

fn spans(spans: &[BucketSpan]) -> String {
    let mut out = String::new();
    for span in spans {
        let _ = write!(out, "{:+} {} ", span.offset, span.length);
    }
    out.truncate(out.trim_end().len());
    out
}

fn aggregate(dump: &mut Dump<'_>, data: &[u8]) -> Result<(), Malformed> {
    let base = dump.index();
    let mut cursor = Cursor::new(PART, data);
    for kind in AggregateKind::ALL {
        let Some((encoding, chunk)) = take_slot(&mut cursor)? else {
            dump.field(base + cursor.index(), format!("no {kind}"));
            continue;
        };
        let at = cursor.index() - chunk.len();
        dump.field(base + at - 1, format!("{kind}: {} bytes", chunk.len()));
        dump.field(base + at, format!("encoding {encoding}"));
        dump.begin(kind.to_string());
        describe_into(dump, encoding, chunk).map_err(|e| e.shifted(at as u64))?;
        dump.end();
    }
    if !cursor.is_empty() {
        return Err(cursor.fail("bytes behind the last aggregate"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{HistogramAppender, Mode, Samples, XorAppender, encode_aggregate, golden};
    use super::*;

    #[test]
    fn floats_bit_by_bit() {
        let mut chunk = XorAppender::new();
        for (time, value) in [(1000, 1.0), (1015, 1.0), (1030, 2.0), (1046, 2.0)] {
            chunk.append(time, value);
        }
        let text = describe(Encoding::Xor, chunk.bytes(), 100).unwrap();
        let expected = "
       100  0004  # XOR: 4 samples
       102  d00f3ff0000000000000  # sample 0: time 1000, 1 (3ff0000000000000)
            #   bits 16..32 1101000000001111 Time
            #   bits 32..96 0011111111110000000000000000000000000000000000000000000000000000 Value
       112  0f  # sample 1: time 1015, 1 (3ff0000000000000)
            #   bits 96..104 00001111 Time
            #   bits 104..105 0 Value
       113  3097ff  # sample 2: time 1030, 2 (4000000000000000)
            #   bits 105..106 0 Time
            #   bits 106..130 110000100101111111111111 Value
       116  e000  # sample 3: time 1046, 2 (4000000000000000)
            #   bits 130..146 1000000000000001 Time
            #   bits 146..147 0 Value
       118  40  # ends with 5 bits of padding
";
        assert_eq!(format!("\n{text}"), expected);
    }

    #[test]
    fn all_bytes_and_samples_of_every_encoding() {
        for chunk in golden::chunks() {
            let text = describe(chunk.encoding, &chunk.data, 0).unwrap();
            assert!(!text.contains("not described") && !text.contains("behind"), "{text}");
            if let Ok(samples) = Samples::new(chunk.encoding, &chunk.data) {
                for (i, sample) in samples.enumerate() {
                    let sample = sample.unwrap();
                    assert!(text.contains(&format!("sample {i}: time {},", sample.time)), "{i}: {text}");
                }
            }
        }
    }

    #[test]
    fn within_an_aggregate() {
        let mut floats = XorAppender::new();
        floats.append(1, 2.0);
        let mut histograms = HistogramAppender::new();
        histograms.append(1, &Histogram { count: 3, sum: 1.5, ..Histogram::default() }, None, Mode::MayCut).unwrap();
        let slots = [Some((Encoding::Xor, floats.bytes())), Some((Encoding::Histogram, histograms.bytes())), None, None, None];
        let data = encode_aggregate(slots);
        let text = describe(Encoding::Aggregate, &data, 0).unwrap();
        for told in ["count: 11 bytes", "encoding XOR", "Count 3", "Sum 1.5 (3ff8000000000000)", "no counter", "bits of padding"]
        {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(describe(Encoding::Aggregate, &data[..data.len() - 1], 0).is_err());
    }
}
