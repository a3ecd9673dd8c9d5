//! Label values between quotes, as Go writes them.
//!
//! *Source*: Go `strconv.Quote`.

use std::fmt::{self, Write};

/// Whether a label's name is written without quotes.
pub fn is_plain_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| word(c) && !c.is_ascii_digit()) && name.chars().all(word)
}

/// Writes `bytes` between double quotes; what is no UTF-8 or cannot be printed is escaped.
///
/// # Errors
/// Those of the writer.
pub fn quote(out: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                '\u{7}' => out.write_str("\\a")?,
                '\u{8}' => out.write_str("\\b")?,
                '\u{c}' => out.write_str("\\f")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                '\u{b}' => out.write_str("\\v")?,
                '\0'..='\u{1f}' | '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c))?,
                ' '..='~' => out.write_char(c)?,
                c if is_printed(c) => out.write_char(c)?,
                c if u32::from(c) > 0xffff => write!(out, "\\U{:08x}", u32::from(c))?,
                c => write!(out, "\\u{:04x}", u32::from(c))?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    out.write_char('"')
}

/// Whether a character beyond ASCII is printed as it is: letters, marks, numbers, signs; no spaces, no controls.
fn is_printed(c: char) -> bool {
    // a mark that stands first is escaped, since it would join what is before it
    let text: String = ['a', c].iter().collect();
    text.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_quotes() {
        for (bytes, expected) in [
            (&b"plain"[..], r#""plain""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\x07\x08\x0c\n\r\t\x0b\x01\x7f", r#""\a\b\f\n\r\t\v\x01\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("é世😀".as_bytes(), r#""é世😀""#),
            ("\u{a0}\u{200b}\u{ad}\u{e000}\u{10ffff}".as_bytes(), r#""\u00a0\u200b\u00ad\ue000\U0010ffff""#),
            ("e\u{301}\u{fffd}".as_bytes(), "\"e\u{301}\u{fffd}\""),
        ] {
            let mut out = String::new();
            quote(&mut out, bytes).unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn plain_names() {
        assert!(is_plain_name("a_1") && is_plain_name("_") && is_plain_name("__name__"));
        assert!(
            !is_plain_name("") && !is_plain_name("1a") && !is_plain_name("a.b") && !is_plain_name("a:b") && !is_plain_name("é")
        );
    }
}
