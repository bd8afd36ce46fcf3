//! `serinus audit`: who did what and why, and whether the record is whole.

use crate::failure::Failure;
use crate::judge::{Judge, JudgeOption};
use crate::output::OutputOption;
use crate::table::Table;
use crate::{runtime, words};
use serinus_judge::domain::audit::{Audited, Head, follow};

#[derive(clap::Args)]
pub struct Audit {
    /// Only what was done to this rollout; the whole record is checked all the same
    rollout: Option<String>,
    /// The end of the record as it was seen before, NUMBER:HASH: it must be in it still,
    /// or somebody wrote the record anew
    #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
    since: Option<Head>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

fn head(text: &str) -> Result<Head, String> {
    let wrong = || "is a number and a hash with a colon between, as serinus audit prints it";
    let (sequence, hash) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Head {
        sequence: sequence.parse().map_err(|_| wrong())?,
        hash: hash.to_owned(),
    })
}

impl Audit {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        let all = runtime::run(read(&judge))?;
        let end = follow(None, &all).map_err(|broken| Failure::Untrue(broken.to_string()))?;
        self.holds(&all)?;
        let of = |audited: &&Audited| {
            let wanted = self.rollout.as_ref();
            wanted.is_none_or(|wanted| audited.record.rollout == *wanted)
        };
        let shown: Vec<&Audited> = all.iter().filter(of).collect();
        self.output.print(&shown, || text(&shown, end.as_ref()))
    }

    fn holds(&self, all: &[Audited]) -> Result<(), Failure> {
        let Some(seen) = &self.since else {
            return Ok(());
        };
        if all.iter().any(|audited| audited.head() == *seen) {
            return Ok(());
        }
        Err(Failure::Untrue(format!(
            "record {} is not there with the hash that was seen: the record was written anew, or the judge has an older database",
            seen.sequence
        )))
    }
}

async fn read(judge: &Judge) -> Result<Vec<Audited>, Failure> {
    let mut all: Vec<Audited> = Vec::new();
    loop {
        let after = all.last().map_or(0, |audited| audited.record.sequence);
        let more: Vec<Audited> = judge.get(&format!("/v1/audit?after={after}")).await?;
        // What does not go on would be asked for again and again.
        let goes_on = more.last().is_some_and(|last| last.record.sequence > after);
        all.extend(more);
        if !goes_on {
            return Ok(all);
        }
    }
}

fn text(shown: &[&Audited], end: Option<&Head>) -> String {
    let mut table = Table::new(["NUMBER", "TIME", "WHO", "ACTION", "ROLLOUT", "WHY"]);
    for Audited { record, .. } in shown {
        table.row([
            record.sequence.to_string(),
            words::time(record.at_ms),
            record.who.clone(),
            record.action.clone(),
            record.rollout.clone(),
            record.reasons.join("; "),
        ]);
    }
    let Some(end) = end else {
        return "nothing was done yet\n".to_owned();
    };
    let Head { sequence, hash } = end;
    format!(
        "{}the record is whole; it ends at {sequence}:{hash}\n",
        table.text(0)
    )
}
