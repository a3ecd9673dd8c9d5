//! What a block says, sample by sample, and which samples must never be lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use blockyard::format::chunk::{Aggregate, Encoding, Samples};
use blockyard::format::index::Index;
use blockyard::format::meta::Meta;
use blockyard::format::segment::decode_record;
use blockyard::model::{Millis, Value};
use blockyard::series::aggregate::{FIVE_MINUTES, ONE_HOUR};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// The external label by which replicas differ.
pub(super) const REPLICA: &str = "replica";

/// A set of samples of a [`Truth`], by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn add(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// Numbers that `other` does not have.
    pub(super) fn beyond<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().enumerate().flat_map(move |(n, &word)| {
            let left = word & !other.0.get(n).copied().unwrap_or_default();
            (0..64).filter(move |bit| left >> bit & 1 == 1).map(move |bit| n * 64 + bit)
        })
    }
}

/// One sample: what it says, hashed, and when.
type Sample = (u64, Millis);

/// The samples that an undisturbed run leaves.
#[derive(Default)]
pub(super) struct Truth {
    numbers: HashMap<u64, usize>,
    /// Resolution and time of each.
    samples: Vec<(Millis, Millis)>,
    /// What is known of blocks by the hash of their bytes: runs make the same ones again and again.
    known: Mutex<HashMap<u64, Arc<Bits>>>,
}

impl Truth {
    /// Adds all samples of a block.
    pub(super) fn add(&mut self, meta: &Meta, objects: &BTreeMap<String, Bytes>) {
        for (hash, time) in samples_of(meta, objects).expect("an undisturbed block can be read") {
            self.numbers.entry(hash).or_insert_with(|| {
                self.samples.push((meta.resolution(), time));
                self.samples.len() - 1
            });
        }
    }

    /// Which of the samples a block has.
    pub(super) fn of(&self, meta: &Meta, objects: &BTreeMap<String, Bytes>) -> Result<Arc<Bits>, String> {
        let hash = content_hash(meta, objects);
        if let Some(bits) = self.known.lock().expect("no panic").get(&hash) {
            return Ok(bits.clone());
        }
        let mut bits = Bits::default();
        for (hash, _) in samples_of(meta, objects)? {
            if let Some(&at) = self.numbers.get(&hash) {
                bits.set(at);
            }
        }
        let bits = Arc::new(bits);
        self.known.lock().expect("no panic").insert(hash, bits.clone());
        Ok(bits)
    }

    /// Resolution and time of a sample.
    pub(super) fn sample(&self, number: usize) -> (Millis, Millis) {
        self.samples[number]
    }

    /// How many samples there are of each resolution: raw, five minutes, an hour.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [0, FIVE_MINUTES, ONE_HOUR].map(|resolution| self.samples.iter().filter(|s| s.0 == resolution).count())
    }
}

/// A hash of all that a block says.
fn content_hash(meta: &Meta, objects: &BTreeMap<String, Bytes>) -> u64 {
    let mut all = format!("{:?}", place(meta)).into_bytes();
    for (name, bytes) in objects.iter().filter(|(name, _)| is_content(name)) {
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(&xxh3_64(bytes).to_le_bytes());
    }
    xxh3_64(&all)
}

/// Whether an object is a part of the block's content and no mark or meta.
pub(super) fn is_content(name: &str) -> bool {
    !name.ends_with(".json")
}

/// Resolution and labels, without the replica.
fn place(meta: &Meta) -> (Millis, Vec<(&str, &str)>) {
    let labels = meta.labels().0.iter().filter(|(name, _)| *name != REPLICA);
    (meta.resolution(), labels.map(|(n, v)| (n.as_str(), v.as_str())).collect())
}

fn samples_of(meta: &Meta, objects: &BTreeMap<String, Bytes>) -> Result<Vec<Sample>, String> {
    let object = |name: &str| objects.get(name).cloned().ok_or_else(|| format!("there is no {name}"));
    let index = Index::open(object("index")?).map_err(|e| e.to_string())?;
    let place = format!("{:?}", place(meta));
    let (mut labels, mut chunks, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut walk = index.each_series();
    while walk.next(&mut labels, &mut chunks).map_err(|e| e.to_string())?.is_some() {
        let mut series = place.clone().into_bytes();
        for (name, value) in labels.drain(..) {
            for symbol in [name, value] {
                series.extend_from_slice(index.symbol(symbol).map_err(|e| e.to_string())?);
                series.push(0xff);
            }
        }
        for chunk in chunks.drain(..) {
            let segment = object(&format!("chunks/{:06}", chunk.reference.segment() + 1))?;
            let at = chunk.reference.offset() as usize;
            let bytes = segment.get(at..).ok_or_else(|| format!("chunk at {at} of {}", segment.len()))?;
            let record = decode_record(bytes, at as u64).map_err(|e| e.to_string())?;
            let encoding = Encoding::from_byte(record.encoding).ok_or("an unknown encoding")?;
            if encoding == Encoding::Aggregate {
                let aggregate = Aggregate::parse(record.data).map_err(|e| e.to_string())?;
                for (kind, encoding, data) in aggregate.iter() {
                    series.push(kind as u8);
                    read(&series, encoding, data, &mut out)?;
                    series.pop();
                }
            } else {
                read(&series, encoding, record.data, &mut out)?;
            }
        }
    }
    Ok(out)
}

fn read(series: &[u8], encoding: Encoding, data: &[u8], out: &mut Vec<Sample>) -> Result<(), String> {
    let mut row = series.to_vec();
    for sample in Samples::new(encoding, data).map_err(|e| e.to_string())? {
        let sample = sample.map_err(|e| e.to_string())?;
        row.truncate(series.len());
        row.extend_from_slice(&sample.time.to_le_bytes());
        match &sample.value {
            Value::Float(value) => row.extend_from_slice(&value.to_bits().to_le_bytes()),
            other => row.extend_from_slice(format!("{other:?}").as_bytes()),
        }
        out.push((xxh3_64(&row), sample.time));
    }
    Ok(())
}
