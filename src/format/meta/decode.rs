//! JSON to [`Meta`](super::Meta): any order of fields, `null` leaves a field empty, what is unknown is kept.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    BlockDesc, Compaction, Downsample, ExternalLabels, File, FileHash, IndexStats, META_FILE, Meta, Stats, Thanos, Unknown,
};
use crate::encoding::Malformed;
use crate::format::gojson;
use crate::model::{LabelSet, Timestamp};

pub(super) fn meta(bytes: &[u8]) -> Result<Meta, Malformed> {
    serde_json::from_slice(bytes).map_err(|e| gojson::malformed(META_FILE, bytes, &e))
}

/// A name of a field, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(Text)
    }
}

/// Reads a value into its field; `null` leaves the field as it is.
fn set<'de, T: Deserialize<'de>, A: MapAccess<'de>>(field: &mut T, map: &mut A) -> Result<(), A::Error> {
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

fn shallow<E: Error>(raw: &RawValue) -> Result<(), E> {
    if gojson::raw_depth(raw.get()) > gojson::MAX_RAW_DEPTH {
        return Err(E::custom(format_args!("nested more than {} levels deep", gojson::MAX_RAW_DEPTH)));
    }
    Ok(())
}

impl Unknown {
    fn keep<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let json: Box<RawValue> = map.next_value()?;
        shallow(&json)?;
        self.0.get_or_insert_default().push((name.into(), json));
        Ok(())
    }
}

/// The reader of an object, from its fields and their names.
macro_rules! object {
    ($type:ident { $($name:literal => $field:ident),* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut value = $type::default();
                        while let Some(Key(name)) = map.next_key()? {
                            match &*name {
                                $($name => set(&mut value.$field, &mut map)?,)*
                                name => value.unknown.keep(name, &mut map)?,
                            }
                        }
                        value.check()?;
                        Ok(value)
                    }
                }
                d.deserialize_map(Fields)
            }
        }
    };
}

/// What remains to be said about an object when all its fields are read.
trait Check {
    fn check<E: Error>(&self) -> Result<(), E> {
        Ok(())
    }
}

impl Check for Meta {}
impl Check for Stats {}
impl Check for Compaction {}
impl Check for BlockDesc {}
impl Check for Downsample {}
impl Check for File {}
impl Check for FileHash {}
impl Check for IndexStats {}

impl Check for Thanos {
    fn check<E: Error>(&self) -> Result<(), E> {
        self.extensions.iter().chain(&self.rewrites).try_for_each(|raw| shallow(raw))
    }
}

object!(Meta {
    "ulid" => ulid, "minTime" => min_time, "maxTime" => max_time, "stats" => stats, "compaction" => compaction,
    "version" => version, "thanos" => thanos
});
object!(Stats {
    "numSamples" => num_samples, "numFloatSamples" => num_float_samples, "numHistogramSamples" => num_histogram_samples,
    "numSeries" => num_series, "numChunks" => num_chunks, "numTombstones" => num_tombstones
});
object!(Compaction {
    "level" => level, "sources" => sources, "deletable" => deletable, "parents" => parents, "failed" => failed,
    "hints" => hints
});
object!(BlockDesc { "ulid" => ulid, "minTime" => min_time, "maxTime" => max_time });
object!(Thanos {
    "version" => version, "labels" => labels, "downsample" => downsample, "source" => source,
    "segment_files" => segment_files, "files" => files, "rewrites" => rewrites, "index_stats" => index_stats,
    "extensions" => extensions, "upload_time" => upload_time
});
object!(Downsample { "resolution" => resolution });
object!(File { "rel_path" => rel_path, "size_bytes" => size_bytes, "hash" => hash });
object!(FileHash { "hashFunc" => func, "value" => value });
object!(IndexStats { "series_max_size" => series_max_size, "chunk_max_size" => chunk_max_size });

impl<'de> Deserialize<'de> for ExternalLabels {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        LabelSet::deserialize(d).map(ExternalLabels::from)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Timestamp::parse(&text).ok_or_else(|| D::Error::custom("not a time as RFC 3339 has it"))
    }
}
