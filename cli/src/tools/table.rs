//! Rows for people and for programs: the table, CSV and TSV that upstream prints, byte for byte.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

/// A cell: what is shown, and what it sorts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What is printed.
    pub(crate) text: String,
    /// What it sorts by; text sorts before numbers where a column has both.
    pub(crate) key: Key,
}

/// What a cell sorts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// As its own text.
    Text,
    /// As a number: a time, a duration, a count, a size.
    Number(i128),
}

impl Cell {
    /// A cell that sorts as its text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Cell { text: text.into(), key: Key::Text }
    }

    /// A cell that sorts as `key`.
    pub(crate) fn number(text: impl Into<String>, key: impl Into<i128>) -> Self {
        Cell { text: text.into(), key: Key::Number(key.into()) }
    }

    fn compare(&self, other: &Cell) -> Ordering {
        self.key.cmp(&other.key).then_with(|| match self.key {
            Key::Text => self.text.cmp(&other.text),
            // times that print alike are alike to upstream
            Key::Number(_) => Ordering::Equal,
        })
    }
}

/// A header and rows of as many cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Names of columns.
    pub(crate) header: Vec<String>,
    /// Rows in the order in which they are printed.
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Table { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Sorts by these columns in turn, then by the first.
    pub(crate) fn sort_by(&mut self, columns: &[usize]) {
        self.rows.sort_by(|a, b| {
            columns.iter().chain([&0]).map(|&c| a[c].compare(&b[c])).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
    }

    /// With bars and a line below the header, cells to the left, names centred; every line ends.
    pub(crate) fn to_text(&self) -> String {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.split('\n').map(UnicodeWidthStr::width).fold(*width, usize::max);
            }
        }
        let line_bytes = widths.iter().sum::<usize>() + widths.len() * 3 + 2;
        let mut out = String::with_capacity(line_bytes * (self.rows.len() + 2));
        for (name, &width) in self.header.iter().zip(&widths) {
            let gap = width - name.width();
            out.push_str("| ");
            pad(&mut out, gap / 2);
            out.push_str(name);
            pad(&mut out, gap - gap / 2 + 1);
        }
        out.push_str("|\n");
        for &width in &widths {
            out.push('|');
            out.extend(std::iter::repeat_n('-', width + 2));
        }
        out.push_str("|\n");
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.text.split('\n').count()).max().unwrap_or(1);
            for line in 0..height {
                for (cell, &width) in row.iter().zip(&widths) {
                    let text = if height == 1 { &cell.text } else { cell.text.split('\n').nth(line).unwrap_or("") };
                    out.push_str("| ");
                    out.push_str(text);
                    pad(&mut out, width - text.width() + 1);
                }
                out.push_str("|\n");
            }
        }
        out
    }

    /// Header and rows with `separator` between fields, quoted where they have to be.
    pub(crate) fn to_separated(&self, separator: char) -> String {
        let mut out = String::with_capacity(self.rows.len() * 160 + 160);
        let mut line = |fields: &mut dyn Iterator<Item = &str>| {
            for (i, field) in fields.enumerate() {
                if i > 0 {
                    out.push(separator);
                }
                if needs_quotes(field, separator) {
                    out.push('"');
                    out.push_str(&field.replace('"', "\"\""));
                    out.push('"');
                } else {
                    out.push_str(field);
                }
            }
            out.push('\n');
        };
        line(&mut self.header.iter().map(String::as_str));
        for row in &self.rows {
            line(&mut row.iter().map(|cell| cell.text.as_str()));
        }
        out
    }
}

fn pad(out: &mut String, width: usize) {
    out.extend(std::iter::repeat_n(' ', width));
}

/// The rule of Go's `encoding/csv`.
fn needs_quotes(field: &str, separator: char) -> bool {
    field == r"\." || field.contains([separator, '"', '\r', '\n']) || field.starts_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(header: &[&str], rows: &[&[&str]]) -> Table {
        let mut table = Table::new(header.iter().copied());
        table.rows = rows.iter().map(|row| row.iter().map(|&cell| Cell::text(cell)).collect()).collect();
        table
    }

    #[test]
    fn bars_and_centred_names() {
        let t = table(&["A", "LONG", "W"], &[&["aaaa", "b", "x\nyy"], &["", "日本", ""]]);
        assert_eq!(
            t.to_text(),
            "|  A   | LONG | W  |\n|------|------|----|\n| aaaa | b    | x  |\n|      |      | yy |\n|      | 日本 |    |\n"
        );
    }

    #[test]
    fn fields_are_quoted_as_go_quotes_them() {
        let t = table(&["a", "b"], &[&["1,176", "say \"hi\""], &["", " lead"], &["two\nlines", r"\."], &["tab\t", "plain"]]);
        assert_eq!(t.to_separated(','), "a,b\n\"1,176\",\"say \"\"hi\"\"\"\n,\" lead\"\n\"two\nlines\",\"\\.\"\ntab\t,plain\n");
        assert!(t.to_separated('\t').ends_with("\"tab\t\"\tplain\n"));
    }

    #[test]
    fn sorts_by_keys_and_a_dash_comes_first() {
        let mut t = Table::new(["ID", "LEFT"]);
        t.rows = vec![
            vec![Cell::text("c"), Cell::number("100h", 100)],
            vec![Cell::text("b"), Cell::number("20h", 20)],
            vec![Cell::text("d"), Cell::text("-")],
            vec![Cell::text("a"), Cell::number("20h", 20)],
        ];
        t.sort_by(&[1]);
        let ids: Vec<&str> = t.rows.iter().map(|row| row[0].text.as_str()).collect();
        assert_eq!(ids, ["d", "a", "b", "c"]);
    }
}
