//! Bytes and nothing else: bounds-checked reading, varints, bit streams, CRC32C, annotated dumps.
//!
//! No code here knows what the bytes mean; [`crate::format`] does.

mod bits;
mod crc32c;
mod cursor;
mod dump;
mod malformed;
mod varint;

pub use bits::{BitReader, BitWriter};
pub use crc32c::{Crc32c, crc32c};
pub use cursor::Cursor;
pub use dump::Dump;
pub use malformed::Malformed;
pub use varint::{MAX_LENGTH_FIELD_BYTES, length_field, put_uvarint, put_varint, uvarint_len};
