//! Answers how many samples a second a model takes: the one half of
//! `benches/inference.py`, which runs it beside the models' own libraries.
//!
//! Arguments: a description and a file of float32 rows, for each model. Each line
//! of the standard input is `MODEL BATCH SECONDS`, and each line of the output
//! `SAMPLES_A_SECOND RESIDENT_BYTES`.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serinus_inference::{Model, load};

struct Loaded {
    model: Arc<dyn Model>,
    rows: Vec<Vec<f32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pairs, _) = arguments.as_chunks::<2>();
    let models: Result<Vec<Loaded>, Box<dyn Error>> = pairs.iter().map(read).collect();
    let models = models?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or("a line is `MODEL BATCH SECONDS`");
        let (model, batch, seconds): (usize, usize, f64) =
            (word()?.parse()?, word()?.parse()?, word()?.parse()?);
        let loaded = models.get(model).ok_or("no such model")?;
        let per_second = measure(loaded, batch, Duration::from_secs_f64(seconds))?;
        writeln!(output, "{per_second} {}", resident_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn read([description, rows]: &[String; 2]) -> Result<Loaded, Box<dyn Error>> {
    let model = load(Path::new(description))?;
    let bytes = std::fs::read(rows)?;
    let (words, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let rows = numbers.chunks_exact(model.input_len());
    Ok(Loaded {
        rows: rows.map(<[f32]>::to_vec).collect(),
        model,
    })
}

/// Batch after batch, from the first row again at the end.
fn measure(loaded: &Loaded, batch: usize, time: Duration) -> Result<f64, Box<dyn Error>> {
    let batches: Vec<&[Vec<f32>]> = loaded.rows.chunks_exact(batch).collect();
    let started = Instant::now();
    let mut samples = 0;
    for rows in batches.iter().cycle() {
        black_box(loaded.model.predict(black_box(rows))?);
        samples += batch;
        if started.elapsed() >= time {
            break;
        }
    }
    Ok(samples as f64 / started.elapsed().as_secs_f64())
}

/// Pages in memory, of 4 KiB. <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4_096
}
