//! One rollout on the stage, from its creation to its end.

use super::watch::Harm;
use super::{End, Moment, Screen, Stage, Watch, spec};
use crate::drawing::Tile;
use crate::failure::Result;
use crate::judge::Decision;
use crate::judge::status::Phase;
use crate::lab::CANARY;
use std::time::Duration;

/// What is to be told, before it is played.
pub struct Plot {
    pub title: &'static str,
    /// The rollout's name in the judge.
    pub rollout: &'static str,
    pub harm: Harm,
    /// What a reader should know beforehand.
    pub about: &'static [&'static str],
}

pub struct Play<'a> {
    pub stage: &'a mut Stage,
    pub watch: Watch,
    plot: Plot,
    screen: &'a mut dyn Screen,
    shown_step: Option<usize>,
    notice_shown: bool,
    notes: Vec<String>,
    problems: Vec<String>,
}

/// All workers have a new plan within a fraction of a second; a machine that
/// compiles at the same time takes longer.
const DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// Pictures of one story at most: two rows of six.
pub const PICTURES: usize = 12;
pub const ACROSS: usize = 6;

impl<'a> Play<'a> {
    /// Both servers well, and the load on this story's host; no rollout yet.
    pub async fn begin(
        stage: &'a mut Stage,
        screen: &'a mut dyn Screen,
        plot: Plot,
    ) -> Result<Self> {
        stage.recover().await?;
        stage.load.set_host(&spec::host(plot.rollout));
        let about: Vec<String> = plot
            .about
            .iter()
            .map(|line| (*line).to_owned())
            .chain(spec::in_words())
            .collect();
        screen.title(plot.title, &about);
        let watch = Watch::start(stage, plot.harm).await?;
        Ok(Self {
            stage,
            watch,
            plot,
            screen,
            shown_step: None,
            notice_shown: false,
            notes: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Creates the rollout: the canary's users get the new version.
    pub async fn release(&mut self) -> Result<()> {
        self.stage
            .lab
            .judge
            .create(&spec::rollout(self.plot.rollout))
            .await?;
        self.event("the rollout is created: 10% of users get v2");
        Ok(())
    }

    pub fn event(&mut self, text: &str) {
        self.screen.event(self.watch.seconds(), text);
    }

    pub fn pictures(&mut self, heading: &str, tiles: &[Tile]) {
        self.screen.pictures(heading, tiles);
    }

    pub fn text(&mut self, lines: &[String]) {
        self.screen.text(lines);
    }

    /// Something that the summary says too.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Something that did not go as it should; the story is told to its end.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.problems.push(what.into());
        }
    }

    /// One second of the story, shown.
    pub async fn second(&mut self) -> Result<Moment> {
        let moment = self.watch.second(self.stage, self.plot.rollout).await?;
        if let Some(status) = &moment.status {
            if self.shown_step.is_some_and(|shown| shown != status.step) {
                let text = format!(
                    "promoted to step {} of {}: {}% of users get v2",
                    status.step + 1,
                    status.steps.len(),
                    status.weight(CANARY),
                );
                self.screen.event(moment.seconds, &text);
            }
            self.shown_step = Some(status.step);
            // The numbers in it change each second; that it began is the event.
            if !self.notice_shown
                && let Some(notice) = status.notices.first()
            {
                self.screen
                    .event(moment.seconds, &format!("the judge: {notice}"));
            }
            self.notice_shown = !status.notices.is_empty();
        }
        self.screen.moment(&moment);
        Ok(moment)
    }

    /// Plays until `enough`, at most for `limit` seconds; whether it came.
    pub async fn until(
        &mut self,
        limit: f64,
        mut enough: impl FnMut(&Moment) -> bool,
    ) -> Result<bool> {
        let end = self.watch.seconds() + limit;
        loop {
            let moment = self.second().await?;
            if enough(&moment) {
                return Ok(true);
            }
            if moment.seconds > end {
                return Ok(false);
            }
        }
    }

    /// Plays until the judge has ended the rollout.
    pub async fn until_over(&mut self, limit: f64) -> Result<()> {
        let over = self
            .until(limit, |moment| {
                let status = moment.status.as_ref();
                status.is_some_and(|status| !matches!(status.phase, Phase::Running | Phase::Paused))
            })
            .await?;
        self.expect(over, format!("no verdict within {limit} s"));
        Ok(())
    }

    /// How it ended.
    pub async fn end(mut self, expected: Phase) -> Result<End> {
        let rollout = self.plot.rollout;
        let judge = &self.stage.lab.judge;
        let status = judge.converged(rollout, 1, DELIVERY_LIMIT).await?;
        let decisions = judge.decisions(rollout).await?;
        let (Some(first), Some(last)) = (decisions.first(), decisions.last()) else {
            return Err("a rollout has no decisions".into());
        };
        let seconds = last.at_ms.saturating_sub(first.at_ms) as f64 / 1_000.0;
        // The replay needs evidence, which only the judge's own verdicts have.
        let replay = match judge.replay(rollout, last.sequence).await {
            Ok(said) => said,
            Err(error) => {
                self.problems.push(error.to_string());
                String::new()
            }
        };
        // Requests that were under way at the verdict have come back by now.
        self.watch.look(self.stage, rollout).await?;
        self.expect(
            status.phase == expected,
            format!("it is {:?}, and should be {expected:?}", status.phase),
        );
        self.expect(last.by == "judge", "a person ended it, and not the judge");
        let ours = self.watch.our_failures();
        self.expect(
            ours == 0,
            format!("{ours} requests failed because of Serinus or Envoy"),
        );
        let end = End {
            title: self.plot.title,
            rollout: rollout.to_owned(),
            phase: status.phase,
            seconds,
            delivered_ms: status.delivery.decided_to_last_worker_ms,
            requests: self.watch.requests(),
            our_failures: ours,
            users_hurt: self.watch.users_hurt(self.stage),
            peers: self.watch.compare(self.stage).await?,
            reasons: last.reasons.clone(),
            replay,
            notes: self.notes,
            problems: self.problems,
        };
        let mut lines = end.in_words();
        lines.push(String::new());
        lines.extend(end.peers.in_words());
        self.screen.text(&lines);
        Ok(end)
    }

    /// The decisions so far, oldest first.
    pub async fn decisions(&self) -> Result<Vec<Decision>> {
        self.stage.lab.judge.decisions(self.plot.rollout).await
    }

    /// What the page shows of a server's disagreements with its model file.
    pub async fn examples(&self) -> Result<Vec<crate::judge::Example>> {
        self.stage.lab.judge.examples(self.plot.rollout).await
    }
}
