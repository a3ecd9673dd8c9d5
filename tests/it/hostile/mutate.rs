//! Seeded damage: the same seed gives the same bytes on every machine.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// Numbers at the borders of their fields, as bytes.
const BORDERS: [&[u8]; 14] = [
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0, 0, 0, 0],
    &[0xff; 8],
    &[0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // the longest varint
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], // one that does not fit
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], // one that does not end
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x00],
    &[0xff, 0xff],
    &[0x7f, 0xf0, 0, 0, 0, 0, 0, 2], // a staleness marker
    &[0xff],
];

/// Damages `bytes` in one to four places; `other` is a second seed to splice from.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        let len = 1 + chance.below(16);
        let end = (at + len).min(bytes.len());
        match chance.below(10) {
            0..=2 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            3 if at < bytes.len() => bytes[at] = chance.next() as u8,
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let copy = bytes[at..end].to_vec();
                let to = chance.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            7 => {
                let border = BORDERS[chance.below(BORDERS.len())];
                let end = (at + border.len()).min(bytes.len());
                bytes.splice(at..end, border.iter().copied());
            }
            8 => {
                let from = chance.below(other.len());
                let until = (from + len * 4).min(other.len());
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            _ => {
                let noise: Vec<u8> = (0..len).map(|_| chance.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
        }
    }
}
