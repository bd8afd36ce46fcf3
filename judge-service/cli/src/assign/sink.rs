//! Where assignments are written: CSV, or Parquet.

#[cfg(feature = "parquet")]
mod parquet;

use super::who::Assignment;
use crate::failure::Failure;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub trait Sink {
    /// # Errors
    /// What cannot be written.
    fn write(&mut self, unit: &[u8], assignment: &Assignment<'_>) -> Result<(), Failure>;

    /// # Errors
    /// What cannot be written. Until this nobody sees a file.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// By the ending of the file's name; CSV to standard output without one.
///
/// # Errors
/// An ending that is not known, or a file that cannot be made.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Sink>, Failure> {
    let Some(path) = path else {
        return Ok(Box::new(Csv::new(std::io::stdout(), None)?));
    };
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match ending.as_ref() {
        "csv" => {
            let (file, place) = Place::make(path)?;
            Ok(Box::new(Csv::new(file, Some(place))?))
        }
        #[cfg(feature = "parquet")]
        "parquet" => {
            let (file, place) = Place::make(path)?;
            Ok(Box::new(parquet::Parquet::new(file, place)?))
        }
        _ => Err(Failure::Usage(format!(
            "--to: {} ends in neither .csv nor .parquet",
            path.display()
        ))),
    }
}

/// A file that has its name only once it is whole.
struct Place {
    unfinished: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Place {
    fn make(path: &Path) -> Result<(File, Self), Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let unfinished = path.with_file_name(name);
        let file = File::create(&unfinished)
            .map_err(|error| format!("--to: failed to make {}: {error}", path.display()))?;
        let place = Self {
            unfinished,
            path: path.to_owned(),
            done: false,
        };
        Ok((file, place))
    }

    fn keep(mut self) -> Result<(), Failure> {
        fs::rename(&self.unfinished, &self.path)
            .map_err(|error| format!("--to: failed to write {}: {error}", self.path.display()))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

// === CSV ===

const COLUMNS: [&str; 7] = [
    "unit",
    "arm",
    "segment",
    "why",
    "bucket",
    "slot",
    "randomised",
];

struct Csv<W: Write> {
    writer: csv::Writer<BufWriter<W>>,
    place: Option<Place>,
}

impl<W: Write> Csv<W> {
    fn new(output: W, place: Option<Place>) -> Result<Self, Failure> {
        let mut writer = csv::Writer::from_writer(BufWriter::new(output));
        writer
            .write_record(COLUMNS)
            .map_err(|error| of_csv(&error))?;
        Ok(Self { writer, place })
    }
}

impl<W: Write> Sink for Csv<W> {
    fn write(&mut self, unit: &[u8], assignment: &Assignment<'_>) -> Result<(), Failure> {
        let randomised = assignment.fallback.is_none();
        let row: [&[u8]; 7] = [
            unit,
            assignment.arm.as_bytes(),
            assignment.segment.unwrap_or_default().as_bytes(),
            assignment.why().as_bytes(),
            &assignment.bucket.to_string().into_bytes(),
            &assignment.slot.to_string().into_bytes(),
            if randomised { b"true" } else { b"false" },
        ];
        self.writer
            .write_record(row)
            .map_err(|error| of_csv(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.writer
            .flush()
            .map_err(|error| Failure::of_output(&error))?;
        self.place.take().map_or(Ok(()), Place::keep)
    }
}

fn of_csv(error: &csv::Error) -> Failure {
    match error.kind() {
        csv::ErrorKind::Io(error) => Failure::of_output(error),
        _ => Failure::Failed(format!("failed to write CSV: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_core::decision::Fallback;

    pub(super) fn two() -> [(&'static [u8], Assignment<'static>); 2] {
        let weighed = Assignment {
            arm: "canary",
            segment: None,
            unit: Some(1),
            fallback: None,
            bucket: 9_213,
            slot: 27,
            range: None,
        };
        let ruled = Assignment {
            arm: "control",
            segment: Some("gold"),
            unit: None,
            fallback: Some(Fallback::Rule),
            bucket: 7,
            slot: 255,
            range: None,
        };
        [(b"ada", weighed), (b"b,ob", ruled)]
    }

    #[test]
    fn a_file_is_there_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arms.csv");
        let mut sink = open(Some(&path)).unwrap();
        for (unit, assignment) in two() {
            sink.write(unit, &assignment).unwrap();
        }
        assert!(!path.exists());
        sink.finish().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "unit,arm,segment,why,bucket,slot,randomised\n\
             ada,canary,,weights,9213,27,true\n\
             \"b,ob\",control,gold,rule,7,255,false\n"
        );
        // One that is given up leaves nothing.
        drop(open(Some(&folder.path().join("other.csv"))).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = open(Some(Path::new("arms.xlsx"))).err().unwrap();
        assert!(matches!(error, Failure::Usage(_)), "{error}");
    }
}
