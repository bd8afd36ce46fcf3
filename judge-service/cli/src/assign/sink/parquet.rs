//! Parquet, as data scientists read it: one row for each unit.

use super::{Place, Sink};
use crate::assign::who::Assignment;
use crate::failure::Failure;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

/// The columns of CSV. A unit without a segment has null there.
const SCHEMA: &str = "
message assignments {
  required binary unit (UTF8);
  required binary arm (UTF8);
  optional binary segment (UTF8);
  required binary why (UTF8);
  required int32 bucket;
  required int32 slot;
  required boolean randomised;
}";

/// Rows that are kept until they are written: some 10 MB.
const GROUP: usize = 128 * 1024;

pub struct Parquet {
    writer: SerializedFileWriter<BufWriter<File>>,
    rows: Rows,
    place: Place,
}

#[derive(Default)]
struct Rows {
    unit: Vec<ByteArray>,
    arm: Vec<ByteArray>,
    segment: Vec<ByteArray>,
    /// 1 where there is a segment.
    has_segment: Vec<i16>,
    why: Vec<ByteArray>,
    bucket: Vec<i32>,
    slot: Vec<i32>,
    randomised: Vec<bool>,
}

impl Parquet {
    pub fn new(file: File, place: Place) -> Result<Self, Failure> {
        let schema = parse_message_type(SCHEMA).map_err(|error| wrong(&error))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let file = BufWriter::new(file);
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(file, Arc::new(schema), properties);
        Ok(Self {
            writer: writer.map_err(|error| wrong(&error))?,
            rows: Rows::default(),
            place,
        })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        column::<ByteArrayType, _>(&mut group, &rows.unit, None)?;
        column::<ByteArrayType, _>(&mut group, &rows.arm, None)?;
        column::<ByteArrayType, _>(&mut group, &rows.segment, Some(&rows.has_segment))?;
        column::<ByteArrayType, _>(&mut group, &rows.why, None)?;
        column::<Int32Type, _>(&mut group, &rows.bucket, None)?;
        column::<Int32Type, _>(&mut group, &rows.slot, None)?;
        column::<BoolType, _>(&mut group, &rows.randomised, None)?;
        group.close().map(drop)
    }
}

/// The next column of the schema.
fn column<T: DataType, W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

impl Sink for Parquet {
    fn write(&mut self, unit: &[u8], assignment: &Assignment<'_>) -> Result<(), Failure> {
        let text = std::str::from_utf8(unit).map_err(|_| {
            Failure::Failed(format!(
                "--to: the unit {} is no UTF-8, as Parquet's texts are; CSV takes it",
                unit.escape_ascii()
            ))
        })?;
        let rows = &mut self.rows;
        rows.unit.push(text.into());
        rows.arm.push(assignment.arm.into());
        rows.segment.extend(assignment.segment.map(ByteArray::from));
        rows.has_segment
            .push(i16::from(assignment.segment.is_some()));
        rows.why.push(assignment.why().into());
        rows.bucket.push(i32::from(assignment.bucket));
        rows.slot.push(i32::from(assignment.slot));
        rows.randomised.push(assignment.fallback.is_none());
        if rows.unit.len() < GROUP {
            return Ok(());
        }
        self.write_group().map_err(|error| wrong(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        let this = &mut *self;
        if !this.rows.unit.is_empty() {
            this.write_group().map_err(|error| wrong(&error))?;
        }
        let Self { writer, place, .. } = *self;
        writer.close().map_err(|error| wrong(&error))?;
        place.keep()
    }
}

fn wrong(error: &ParquetError) -> Failure {
    Failure::Failed(format!("--to: failed to write Parquet: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::{open, tests::two};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::fs::File;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arms.parquet");
        let mut sink = open(Some(&path)).unwrap();
        for _ in 0..super::GROUP {
            for (unit, assignment) in two() {
                sink.write(unit, &assignment).unwrap();
            }
        }
        sink.finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let rows = reader.get_row_iter(None).unwrap();
        let mut count = 0;
        for row in rows {
            let row = row.unwrap().to_string();
            let right = if count % 2 == 0 {
                "{unit: \"ada\", arm: \"canary\", segment: null, why: \"weights\", bucket: 9213, slot: 27, randomised: true}"
            } else {
                "{unit: \"b,ob\", arm: \"control\", segment: \"gold\", why: \"rule\", bucket: 7, slot: 255, randomised: false}"
            };
            assert_eq!(row, right);
            count += 1;
        }
        assert_eq!(count, 2 * super::GROUP);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(Some(&folder.path().join("a.parquet"))).unwrap();
        let error = sink.write(b"\xff", &two()[0].1).unwrap_err().to_string();
        assert!(error.contains("the unit \\xff is no UTF-8"), "{error}");
        drop(sink);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
