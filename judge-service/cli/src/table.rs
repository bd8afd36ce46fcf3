//! Text in columns.

use crate::words::clean;

/// The first row is the heading. Columns that stand empty in all rows are left out.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self(vec![heading.map(str::to_owned).to_vec()])
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.map(|cell| clean(&cell)).to_vec());
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() < 2
    }

    /// Each line with `indent` spaces before it.
    pub fn text(&self, indent: usize) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize, skip: usize| {
            let cells = self.0.iter().skip(skip);
            let cells = cells.filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let shown: Vec<(usize, usize)> = (0..columns)
            .filter(|&column| width(column, 1) > 0)
            .map(|column| (column, width(column, 0)))
            .collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = " ".repeat(indent);
            for &(column, width) in &shown {
                let cell = row.get(column).map_or("", String::as_str);
                line.push_str(cell);
                let padding = (width + 2).saturating_sub(cell.chars().count());
                line.push_str(&" ".repeat(padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_empty_ones_are_left_out() {
        let mut table = Table::new(["ROLLOUT", "NOTE", "STEP"]);
        assert!(table.is_empty());
        table.row(["a".to_owned(), String::new(), "1 of 4".to_owned()]);
        table.row(["longer-name".to_owned(), String::new(), "2 of 4".to_owned()]);
        assert_eq!(
            table.text(2),
            "  ROLLOUT      STEP\n  a            1 of 4\n  longer-name  2 of 4\n"
        );
    }
}
