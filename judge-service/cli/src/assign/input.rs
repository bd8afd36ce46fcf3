//! Units from a file, one after the other, however many.

use crate::failure::Failure;
use csv::ByteRecord;
use std::io::{BufRead, BufReader, Read};

/// One unit, with the headers that its row has.
pub struct Row {
    pub unit: Vec<u8>,
    /// In the order of the columns that were asked for.
    pub headers: Vec<Vec<u8>>,
}

pub enum Units<R: Read> {
    /// One a line.
    Lines { reader: BufReader<R> },
    Table {
        reader: csv::Reader<R>,
        record: ByteRecord,
        unit: usize,
        headers: Vec<usize>,
    },
}

/// Which columns of a table with a heading are meant.
pub struct Columns<'a> {
    pub unit: &'a str,
    pub headers: Vec<&'a str>,
}

// === impl Units ===

impl<R: Read> Units<R> {
    pub fn lines(reader: R) -> Self {
        Self::Lines {
            reader: BufReader::new(reader),
        }
    }

    /// # Errors
    /// No heading, or one without a column that is asked for.
    pub fn table(reader: R, columns: &Columns<'_>) -> Result<Self, Failure> {
        let mut reader = csv::Reader::from_reader(reader);
        let heading = reader
            .byte_headers()
            .map_err(|error| wrong(&error))?
            .clone();
        let find = |option: &str, name: &str| {
            let mut found = heading.iter().map(<[u8]>::trim_ascii);
            found
                .position(|column| column == name.as_bytes())
                .ok_or_else(|| {
                    let names: Vec<_> = heading.iter().map(String::from_utf8_lossy).collect();
                    Failure::Failed(format!(
                        "{option}: there is no column `{name}`; there are {}",
                        names.join(", ")
                    ))
                })
        };
        let headers = columns.headers.iter();
        Ok(Self::Table {
            unit: find("--column", columns.unit)?,
            headers: headers
                .map(|name| find("--header-column", name))
                .collect::<Result<_, _>>()?,
            record: ByteRecord::new(),
            reader,
        })
    }

    /// # Errors
    /// A file that cannot be read, or a row that is none.
    pub fn next(&mut self) -> Result<Option<Row>, Failure> {
        match self {
            Self::Lines { reader } => {
                let mut unit = Vec::new();
                loop {
                    let read = reader.read_until(b'\n', &mut unit);
                    let read = read.map_err(|error| format!("--file: failed to read: {error}"))?;
                    if read == 0 {
                        return Ok(None);
                    }
                    while matches!(unit.last(), Some(b'\n' | b'\r')) {
                        unit.pop();
                    }
                    if !unit.is_empty() {
                        let headers = Vec::new();
                        return Ok(Some(Row { unit, headers }));
                    }
                }
            }
            Self::Table {
                reader,
                record,
                unit,
                headers,
            } => {
                if !reader
                    .read_byte_record(record)
                    .map_err(|error| wrong(&error))?
                {
                    return Ok(None);
                }
                let cell = |&column: &usize| record.get(column).unwrap_or_default().to_vec();
                Ok(Some(Row {
                    unit: cell(unit),
                    headers: headers.iter().map(cell).collect(),
                }))
            }
        }
    }
}

fn wrong(error: &csv::Error) -> Failure {
    Failure::Failed(format!("--file: is no table: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut units: Units<&[u8]>) -> Vec<(String, Vec<String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let mut found = Vec::new();
        while let Some(row) = units.next().unwrap() {
            let headers = row.headers.into_iter().map(text).collect();
            found.push((text(row.unit), headers));
        }
        found
    }

    #[test]
    fn lines_of_any_system() {
        let found = all(Units::lines("ada\r\n\nbob smith\nlast".as_bytes()));
        let names: Vec<&str> = found.iter().map(|(unit, _)| unit.as_str()).collect();
        assert_eq!(names, ["ada", "bob smith", "last"]);
    }

    #[test]
    fn columns_by_their_names() {
        let text = "n,user id,card\n1,\"a,\"\"da\",gold\n2,bob,\n";
        let columns = Columns {
            unit: "user id",
            headers: vec!["card"],
        };
        let units = Units::table(text.as_bytes(), &columns).unwrap();
        let right = [
            ("a,\"da".to_owned(), vec!["gold".to_owned()]),
            ("bob".to_owned(), vec![String::new()]),
        ];
        assert_eq!(all(units), right);
    }

    #[test]
    fn a_column_that_is_not_there_and_a_row_that_is_short() {
        let columns = Columns {
            unit: "user",
            headers: Vec::new(),
        };
        let error = Units::table("a,b\n1,2\n".as_bytes(), &columns)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "--column: there is no column `user`; there are a, b"
        );
        let mut units = Units::table("user,b\n1\n".as_bytes(), &columns).unwrap();
        let error = units.next().err().unwrap().to_string();
        assert!(error.contains("line: 2"), "{error}");
    }
}
