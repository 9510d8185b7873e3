//! Columns for people.

use std::fmt;

/// Rows under a header. Columns of numbers are flush right, all others flush left.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a cell for every column; an empty cell is shown as `-`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |number: usize| self.rows.iter().filter_map(move |row| row.get(number));
        let width = |cell: &str| cell.chars().count();
        let columns: Vec<(usize, bool)> = (0..self.header.len())
            .map(|number| {
                let widest = column(number).map(|cell| width(cell)).max().unwrap_or(0);
                let numbers = column(number).all(|cell| {
                    cell.starts_with(|first: char| first.is_ascii_digit()) && !cell.contains(['.', ':', '/'])
                });
                (widest.max(width(self.header[number])), numbers)
            })
            .collect();
        let header: Vec<String> = self.header.iter().map(|title| (*title).to_owned()).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (cell, (widest, flush_right)) in row.iter().zip(&columns) {
                let gap = " ".repeat(widest - width(cell));
                let cell = if *flush_right { gap + cell } else { cell.clone() + &gap };
                line.push_str(&cell);
                line.push_str("   ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_ends() {
        let mut table = Table::new(&["NAME", "ENTRIES", "WHY"]);
        table.row(["flows".to_owned(), "7".to_owned(), String::new()]);
        table.row(["näme-longer".to_owned(), "1234".to_owned(), "so".to_owned()]);
        let expected = "\
NAME          ENTRIES   WHY
flows               7   -
näme-longer      1234   so
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn addresses_are_no_numbers() {
        let mut table = Table::new(&["ADDRESS"]);
        table.row(["10.0.0.1:80".to_owned()]);
        table.row(["10.0.0.10:80".to_owned()]);
        assert_eq!(table.to_string(), "ADDRESS\n10.0.0.1:80\n10.0.0.10:80\n");
    }

    #[test]
    fn without_rows_there_is_the_header() {
        assert_eq!(Table::new(&["A", "B"]).to_string(), "A   B\n");
    }
}
