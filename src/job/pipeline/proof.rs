//! What has to be true of a block before anything that it replaces may be marked.
//!
//! Two sides are counted apart. *In*: every chunk that an input's index has and the job keeps is taken once, under
//! the labels it has there; a record that is copied counts with its input's checksum and times, one that is made
//! anew counts after its samples were held against those of the inputs (`assemble::proof`). *Out*: a
//! [`Witness`] reads the bytes that are sent. Both sums have to agree.
//!
//! What may be missing: of replicas merged one to one, samples at a time that another has one at; by penalty, all
//! but the first of a series; both are counted, and neither may add a sample that no input has. Downsampled blocks
//! hold what was encoded; that their counts add up to the samples that went in is for the downsampler's tests.

use super::UNTOUCHED;
use super::decode::SeriesBatch;
use super::merge::MergedBatch;
use crate::block::fingerprint::Fingerprint;
use crate::block::{Witness, Written, read_back};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, ChunkMeta, SymbolTable, Version};
use crate::model::BlockId;

/// Where the output is read from before it is said to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyOutput {
    /// From the bytes that are sent, while they are.
    #[default]
    Sent,
    /// From those, and once more from the bucket when all is there.
    ReadBack,
}

/// Series and chunks of inputs, and the sum of where these chunks lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Intake {
    series: u64,
    chunks: u64,
    places: u64,
}

impl Intake {
    /// Adds one series of one input.
    #[inline]
    pub(super) fn series(&mut self, chunks: &[ChunkMeta]) {
        self.series += 1;
        self.chunks += chunks.len() as u64;
        self.places = chunks.iter().fold(self.places, |sum, c| sum.wrapping_add(c.reference.0));
    }

    /// Adds all series that were decoded.
    pub(super) fn batch(&mut self, batch: &SeriesBatch) {
        (0..batch.len()).for_each(|n| self.series(batch.chunks(n)));
    }

    /// Adds those of another.
    pub(super) fn add(&mut self, other: &Intake) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.places = self.places.wrapping_add(other.places);
    }

    /// What one merged series consists of.
    ///
    /// # Errors
    /// Pieces whose labels differ.
    pub(super) fn merged(&mut self, merged: &MergedBatch, series: usize) -> Result<(), &'static str> {
        let labels = merged.labels(series);
        for piece in merged.pieces(series) {
            let batch = &merged.sources[piece.source as usize].batch;
            if batch.labels(piece.series as usize) != labels {
                return Err("series with different labels were merged");
            }
            self.series(batch.chunks(piece.series as usize));
        }
        Ok(())
    }
}

/// What went in, as far as it was assembled.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// What each output has to hold.
    pub(super) outputs: Vec<Fingerprint>,
    /// What was taken from the inputs.
    pub(super) taken: Intake,
    /// Samples that are in no output since replicas have them too.
    pub(super) dropped: u64,
}

impl Expected {
    /// Adds what another batch holds.
    pub(super) fn add(&mut self, other: &Expected) {
        self.outputs.resize(other.outputs.len().max(self.outputs.len()), Fingerprint::default());
        self.outputs.iter_mut().zip(&other.outputs).for_each(|(to, from)| to.add(from));
        self.taken.add(&other.taken);
        self.dropped += other.dropped;
    }

    /// Whether all that was decoded of the inputs was taken.
    ///
    /// # Errors
    /// `Corrupt` if not.
    pub(super) fn check_intake(&self, decoded: &Intake) -> Result<()> {
        if self.taken == *decoded {
            return Ok(());
        }
        let Intake { series, chunks, .. } = self.taken;
        let why =
            format!("{} series with {} chunks were read, {series} with {chunks} were taken", decoded.series, decoded.chunks);
        Err(wrong(why))
    }
}

/// The sum over a table of symbols that is not a merge of the inputs'.
///
/// # Errors
/// `Corrupt` where it does not decode.
pub(super) fn symbols(section: &[u8]) -> Result<u64> {
    let table = SymbolTable::decode(Version::V2, section, index::HEADER_BYTES as u64)?;
    let mut sum = Fingerprint::default();
    table.iter().for_each(|(number, text)| sum.symbol(number, text));
    Ok(sum.symbol_sum)
}

#[cold]
fn wrong(why: String) -> Error {
    Error::new(Kind::Corrupt, why).next(format!("{UNTOUCHED}; run it again, and report it if it comes back"))
}

/// Whether a block holds what it has to, by all that its witness saw and, where asked for, by what is in the bucket.
///
/// # Errors
/// `Corrupt` where it does not; with [`VerifyOutput::ReadBack`] also what the bucket says.
pub(super) async fn check(
    bucket: &Bucket,
    id: BlockId,
    (expected, verify): (&Fingerprint, VerifyOutput),
    witness: &Witness,
    written: &[Written],
) -> Result<()> {
    let same = |found: Fingerprint, whence: &str| {
        if found == *expected {
            return Ok(());
        }
        Err(wrong(format!("{whence} holds {found}; what went in: {expected}")).block(id))
    };
    same(witness.finish()?, "what was sent")?;
    match verify {
        VerifyOutput::Sent => Ok(()),
        VerifyOutput::ReadBack => same(read_back(bucket, id, written).await?, "the block in the bucket"),
    }
}
