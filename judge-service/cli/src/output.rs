//! What commands print: a table for people, JSON and YAML for programs.

use crate::failure::Failure;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{IsTerminal, Write};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

#[derive(Debug, clap::Args)]
pub struct OutputOption {
    /// How to print what was found
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

impl OutputOption {
    /// # Errors
    /// An output that cannot be written.
    pub fn print(
        &self,
        value: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.output {
            Format::Table => table(),
            Format::Json => serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|error| format!("failed to write JSON: {error}"))?,
            Format::Yaml => yaml(value)?,
        };
        print(&text)
    }
}

/// # Errors
/// A value that YAML cannot say.
pub fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_saphyr::to_string(value).map_err(|error| format!("failed to write YAML: {error}"))?)
}

/// To standard output. `println!` would panic where nobody reads on.
///
/// # Errors
/// An output that cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::of_output(&error))
}

/// On standard error. `eprintln!` would panic where nobody reads it.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "serinus: {}", harmless(text));
}

/// What somebody wrote stands in errors, and could else clear a terminal, or forge a line
/// of a log.
fn harmless(text: &str) -> String {
    let harms = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match harms(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Whether colours are wanted on standard output.
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complained_of_is_only_shown() {
        assert_eq!(
            harmless("a.yaml: `\u{1b}[2J\t\u{202e}`\nb.yaml: \u{e9}"),
            "a.yaml: `\\u{1b}[2J\\t\\u{202e}`\nb.yaml: \u{e9}"
        );
    }
}
