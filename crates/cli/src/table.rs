//! Aligns cells in columns, and cuts the widest of them to the screen.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::{Screen, escape_for_terminal};

/// What stands between two columns.
const GAP: &str = "  ";
/// The flexible column is not cut below this, however narrow the screen is.
const FLEXIBLE_MIN: usize = 16;

/// Rows of cells under headings. Cells are escaped for terminals.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<String>,
    right: Vec<usize>,
    flexible: Option<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Self { headings, right: Vec::new(), flexible: None, rows: Vec::new() }
    }

    /// Aligns these columns, counted from 0, to the right.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Cuts this column, counted from 0, where the screen is too narrow.
    #[must_use]
    pub const fn flexible(mut self, column: usize) -> Self {
        self.flexible = Some(column);
        self
    }

    /// Adds a row.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| escape_for_terminal(cell.as_ref()).into_owned()).collect());
    }

    /// Whether it has no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes headings and rows.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&self, out: &mut (impl Write + ?Sized), screen: Screen) -> io::Result<()> {
        let widths = self.widths(screen.width);
        writeln!(out, "{}", screen.paint.bold(&self.line(&self.headings, &widths)))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", self.line(row, &widths)))
    }

    fn widths(&self, screen: Option<usize>) -> Vec<usize> {
        let widest = |column: usize| {
            let cells = self.rows.iter().chain([&self.headings]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.headings.len()).map(widest).collect();
        if let (Some(screen), Some(flexible)) = (screen, self.flexible) {
            let all: usize = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
            if let Some(width) = widths.get_mut(flexible) {
                *width = (*width).min(width.saturating_sub(all.saturating_sub(screen)).max(FLEXIBLE_MIN));
            }
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str(GAP);
            }
            let cell = cut(cell, *width);
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match self.right.contains(&column) {
                true => line.extend([padding.as_str(), &cell]),
                false => line.extend([cell.as_str(), &padding]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The text in so many columns; its end gives way to `…` when it is longer.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |character: &char| match room.checked_sub(character.width().unwrap_or(0)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::super::output::Paint;
    use super::*;

    fn check(screen: Option<usize>, expect: &str) {
        let mut table = Table::new(&["ID", "COUNT", "ERROR"]).right(&[1]).flexible(2);
        table.row(["1-0", "7", "connection refused by the server"]);
        table.row(["日本", "1,000", "a\x1bb"]);
        let mut out = Vec::new();
        table.write(&mut out, Screen { width: screen, paint: Paint(false) }).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        check(None, "ID    COUNT  ERROR\n1-0       7  connection refused by the server\n日本  1,000  a\\x1bb\n");
    }

    #[test]
    fn the_flexible_column_is_cut_to_the_screen_but_never_away() {
        check(Some(30), "ID    COUNT  ERROR\n1-0       7  connection refus…\n日本  1,000  a\\x1bb\n");
        check(Some(5), "ID    COUNT  ERROR\n1-0       7  connection refu…\n日本  1,000  a\\x1bb\n");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_letters() {
        let cases =
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("a", 0, "…")];
        cases.into_iter().for_each(|(text, width, expect)| assert_eq!(cut(text, width), expect, "{text} in {width}"));
    }

    proptest::proptest! {
        #[test]
        fn no_cell_makes_it_panic(cells: Vec<String>, screen: Option<u8>) {
            let mut table = Table::new(&["A", "B"]).flexible(0);
            table.row(cells);
            let screen = Screen { width: screen.map(usize::from), paint: Paint(true) };
            table.write(&mut Vec::new(), screen).unwrap();
        }
    }
}
