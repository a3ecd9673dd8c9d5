//! What a careful reader does with bytes, for formats whose rooms have several decoders.

use blockyard::format::chunk::{
    Aggregate, Encoding, FloatHistogramAppender, HistogramAppender, Samples, XorAppender, reset_hint, sample_count,
};
use blockyard::format::index::{Index, SymbolStep, SymbolStream};
use blockyard::format::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use blockyard::format::meta::Meta;
use blockyard::model::{Sample, Value};

/// A chunk behind the byte of its encoding.
pub(crate) fn chunk(bytes: &[u8]) {
    let Some((&byte, data)) = bytes.split_first() else { return };
    let encoding = Encoding::from_byte(byte).unwrap_or(Encoding::ALL[usize::from(byte) % Encoding::ALL.len()]);
    let _ = (sample_count(encoding, data), reset_hint(encoding, data));
    match encoding {
        Encoding::Aggregate => {
            let Ok(aggregate) = Aggregate::parse(data) else { return };
            aggregate.iter().for_each(|(_, encoding, data)| samples(encoding, data));
        }
        _ => samples(encoding, data),
    }
    match encoding {
        Encoding::Xor => {
            if let Ok(mut appender) = XorAppender::reopen(data) {
                assert_eq!(
                    appender.bytes().len(),
                    data.len(),
                    "a chunk that is reopened is the same, but for bits behind the last"
                );
                appender.append(i64::MIN, f64::NAN);
                appender.append(i64::MAX, 1.0);
            }
        }
        Encoding::Histogram => drop(HistogramAppender::reopen(data)),
        Encoding::FloatHistogram => drop(FloatHistogramAppender::reopen(data)),
        _ => {}
    }
}

fn samples(encoding: Encoding, data: &[u8]) {
    let Ok(mut samples) = Samples::new(encoding, data) else { return };
    let mut sample = Sample { time: 0, start: 0, value: Value::Float(0.0) };
    let mut left = u64::from(samples.remaining());
    while let Ok(true) = samples.next_into(&mut sample) {
        left = left.checked_sub(1).expect("no more samples than the header says");
    }
}

/// A whole index, by every road.
pub(crate) fn index(bytes: &[u8]) {
    let Ok(index) = Index::open(bytes) else { return };
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    let mut walk = index.each_series();
    let mut ids = Vec::new();
    while let Ok(Some(id)) = walk.next(&mut labels, &mut chunks) {
        ids.push(id);
        for &(name, value) in &labels {
            let _ = (index.symbol(name), index.symbol(value));
        }
    }
    for &id in ids.iter().take(100) {
        assert_eq!(index.series(id, &mut labels, &mut chunks), Ok(()), "a series that is walked over is found by its id");
    }
    for entry in index.postings_table().take(2000) {
        if let Ok(list) = index.postings_at(entry.offset) {
            assert_eq!(list.iter().count(), list.len());
        }
    }
    for name in index.label_names().take(50) {
        for entry in index.label_values(name).take(50) {
            let _ = index.postings(name, entry.value);
        }
    }
    let _ = index.all_postings();
    for (reference, symbol) in index.symbols().take(300) {
        assert_eq!(index.symbol(reference), Ok(symbol));
        assert_eq!(index.find_symbol(symbol), Some(reference));
    }
    stream(&index);
}

/// Symbols in pieces are the symbols as a whole.
fn stream(index: &Index<&[u8]>) {
    let range = index.toc().symbols_range();
    let section = &index.bytes()[range.start as usize..range.end as usize];
    let mut stream = SymbolStream::new(index.version(), range.start);
    let mut pieces = section.chunks(100);
    let mut whole = index.symbols();
    loop {
        match stream.step() {
            Ok(SymbolStep::Symbol(reference, symbol)) => assert_eq!(whole.next(), Some((reference, symbol))),
            Ok(SymbolStep::Need(_)) => match pieces.next() {
                Some(piece) => drop(stream.push(piece)),
                None => return,
            },
            Ok(SymbolStep::End) | Err(_) => return,
        }
    }
}

/// A `meta.json`: what is read and written reads the same.
pub(crate) fn meta(bytes: &[u8]) {
    if let Ok(meta) = Meta::decode(bytes) {
        let written = meta.encode();
        let again = Meta::decode(&written).expect("what we write can be read");
        assert_eq!(again.encode(), written, "what is read is written the same");
    }
}

/// Any of the marks.
pub(crate) fn marks(bytes: &[u8]) {
    if let Ok(mark) = DeletionMark::decode(bytes) {
        assert_eq!(DeletionMark::decode(&mark.encode()), Ok(mark));
    }
    if let Ok(mark) = NoCompactMark::decode(bytes) {
        assert_eq!(NoCompactMark::decode(&mark.encode()), Ok(mark));
    }
    if let Ok(mark) = NoDownsampleMark::decode(bytes) {
        assert_eq!(NoDownsampleMark::decode(&mark.encode()), Ok(mark));
    }
}
