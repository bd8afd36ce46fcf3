//! `serinus explain`: what the fields of a rollout are.

use crate::failure::Failure;
use crate::output::OutputOption;
use crate::table::Table;
use serinus_judge::reading::fields::{self, Field};
use serinus_judge::reading::nearest;
use std::fmt::Write;

#[derive(clap::Args)]
pub struct Explain {
    /// A field by its path, such as guardrails.errors or arms.ready; those at the top
    /// without one
    field: Option<String>,
    /// Every field, at whatever depth
    #[arg(long, conflicts_with = "field")]
    all: bool,
    #[command(flatten)]
    output: OutputOption,
}

impl Explain {
    pub fn run(&self) -> Result<(), Failure> {
        let all = fields::all();
        let shown = match (&self.field, self.all) {
            (None, true) => all,
            (None, false) => top(&all),
            (Some(path), _) => below(&all, path)?,
        };
        self.output.print(&shown, || text(&shown))
    }
}

fn top(all: &[Field]) -> Vec<Field> {
    let fields = all.iter().filter(|field| !field.path.contains('.'));
    fields.cloned().collect()
}

/// The field and all within it.
fn below(all: &[Field], path: &str) -> Result<Vec<Field>, Failure> {
    // As errors have it: `arms[1].name`.
    let parts = path.split('.').map(|part| part.split('[').next());
    let path = parts.flatten().collect::<Vec<_>>().join(".");
    let within = format!("{path}.");
    let of = |field: &&Field| field.path == path || field.path.starts_with(&within);
    let shown: Vec<Field> = all.iter().filter(of).cloned().collect();
    if !shown.is_empty() {
        return Ok(shown);
    }
    let mut text = format!("a rollout has no field `{path}`");
    let last = path.rsplit('.').next().unwrap_or(&path);
    // The same name elsewhere, or one that is spelt nearly so.
    let elsewhere = all.iter().map(|field| field.path.as_str());
    let named = elsewhere
        .clone()
        .find(|other| other.rsplit('.').next() == Some(last));
    if let Some(meant) = named.or_else(|| nearest(&path, elsewhere)) {
        let _ = write!(text, "; did you mean `{meant}`?");
    } else {
        text.push_str("; `serinus explain --all` lists all that there are");
    }
    Err(Failure::NotFound(text))
}

fn text(shown: &[Field]) -> String {
    let mut table = Table::new(["FIELD", "TYPE", "DEFAULT", "MEANING"]);
    for field in shown {
        table.row([
            field.path.clone(),
            field.kind.clone(),
            field.default.clone().unwrap_or_default(),
            field.meaning.clone(),
        ]);
    }
    table.text(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The reference among the documents is written anew by `make contracts`.
    #[test]
    fn the_committed_reference_is_the_codes() {
        let mut text = "# Every field of a rollout\n\n\
            As `serinus explain --all` prints them, made from the code by `make contracts`. \
            Examples are in [what a rollout can say](rollout.md). The fields of a list are \
            those of each of its elements.\n\n\
            | field | type | default | |\n| --- | --- | --- | --- |\n"
            .to_owned();
        let cell = |text: &str| text.replace('|', "\\|");
        for field in fields::all() {
            let default = field.default.map(|default| format!("`{}`", cell(&default)));
            let (kind, meaning) = (cell(&field.kind), cell(&field.meaning));
            let default = default.unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | {kind} | {default} | {meaning} |",
                field.path
            );
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rollout-fields.md");
        if std::env::var_os("SERINUS_WRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "rollout-fields.md is not what the code says: run `make contracts`"
        );
    }

    #[test]
    fn a_field_is_shown_with_those_within_it() {
        let all = fields::all();
        let paths = |path: &str| -> Vec<String> {
            let shown = below(&all, path).unwrap();
            shown.into_iter().map(|field| field.path).collect()
        };
        assert_eq!(
            paths("deadline"),
            ["deadline", "deadline.seconds", "deadline.then"]
        );
        assert_eq!(paths("arms[1].ready"), ["arms.ready"]);
        assert_eq!(paths("segments[0].when[2].in"), ["segments.when.in"]);
        let then = &below(&all, "deadline.then").unwrap()[0];
        assert_eq!(then.kind, "pause | roll_back | proceed");
        assert_eq!(then.default.as_deref(), Some("\"pause\""));
        let weights = &below(&all, "steps.weights").unwrap()[0];
        assert_eq!(weights.kind, "by name: number");
        assert!(top(&all).iter().any(|field| field.path == "arms"));
        for (wrong, right) in [
            ("margin_absolute", "guardrails.errors.margin_absolute"),
            ("guardrials", "guardrails"),
            ("nonsense", "`serinus explain --all`"),
        ] {
            let said = below(&all, wrong).unwrap_err().to_string();
            assert!(said.contains(right), "{said}");
        }
    }
}
