//! `serinus watch`: a page that moves on a terminal, and elsewhere a line a change.

mod changes;
mod draw;
mod page;
mod screen;

use crate::failure::Failure;
use crate::judge::{Judge, JudgeOption};
use crate::output::{complain, print};
use crate::view::Status;
use crate::words::plain;
use crate::{get, runtime, words};
use changes::Changes;
use clap::ValueEnum;
use page::Page;
use screen::{Event, Screen};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks. The judge evaluates four times a second; a person reads slower.
const LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Watch {
    /// The rollout; all of them without one
    id: Option<String>,
    /// End as soon as the rollout is in this phase: exit code 0. It ends in any case when
    /// nothing more is decided of the rollout: exit code 6 if that is another phase, or
    /// the new version was taken back
    #[arg(long, value_enum, requires = "id")]
    until: Option<Until>,
    #[command(flatten)]
    judge: JudgeOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    Running,
    Paused,
    Promoted,
    Finished,
    RolledBack,
    Aborted,
}

/// Whether to go on.
enum Turn {
    GoOn,
    End(Result<(), Failure>),
}

impl Watch {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !dumb {
            runtime::run(self.on_screen(&judge))
        } else {
            runtime::run(self.in_lines(&judge))
        }
    }

    async fn look(&self, judge: &Judge) -> Result<Vec<Status>, Failure> {
        match &self.id {
            None => judge.get("/v1/rollouts").await,
            Some(id) => Ok(vec![get::read(&get::one(judge, id).await?)?]),
        }
    }

    /// A judge that is away for a while is said, and waited for; one that was never
    /// there, or does not know the rollout, ends it.
    async fn in_lines(&self, judge: &Judge) -> Result<(), Failure> {
        let mut changes = Changes::default();
        let mut all = self.look(judge).await?;
        let mut away = false;
        loop {
            for line in changes.since(&all) {
                print(&format!("{} {line}\n", words::clock(words::now_ms())))?;
            }
            if let Turn::End(how) = self.turn(&all) {
                return how;
            }
            sleep(LOOK).await;
            match self.look(judge).await {
                Ok(now) => {
                    if std::mem::take(&mut away) {
                        complain("the judge is there again");
                    }
                    all = now;
                }
                Err(failure @ Failure::NotReached(_)) => {
                    if !std::mem::replace(&mut away, true) {
                        complain(&format!("{failure}; trying again"));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn on_screen(&self, judge: &Judge) -> Result<(), Failure> {
        // What goes wrong at once is said on the terminal as it was.
        let mut page = Page::new(judge.address(), self.look(judge).await?);
        let mut screen = Screen::open()?;
        loop {
            screen.show(|width, height| page.lines(width, height, words::now_ms()))?;
            if let Turn::End(how) = self.turn(page.all()) {
                drop(screen);
                print(&page.last_words())?;
                return how;
            }
            tokio::select! {
                event = screen.event() => match event {
                    Event::Quit => return self.given_up(),
                    Event::Up => page.choose_before(),
                    Event::Down => page.choose_next(),
                    Event::Enter => page.open_or_close(),
                    Event::Redraw => {}
                },
                looked = async { sleep(LOOK).await; self.look(judge).await } => match looked {
                    Ok(all) => page.now(all),
                    Err(failure @ Failure::NotReached(_)) => page.away(&failure),
                    Err(failure) => return Err(failure),
                },
            }
        }
    }

    /// A script that waits for a phase must not take its end for that.
    fn given_up(&self) -> Result<(), Failure> {
        match self.until {
            None => Ok(()),
            Some(until) => Err(Failure::Otherwise(format!(
                "the watch was ended before the rollout was {}",
                plain(until.phase())
            ))),
        }
    }

    fn turn(&self, all: &[Status]) -> Turn {
        let (Some(_), Some(status)) = (&self.id, all.first()) else {
            return Turn::GoOn;
        };
        let wanted = self.until.map(Until::phase);
        let is_reached = match (self.until, status.phase.as_str()) {
            (Some(Until::Promoted), "finished") => true,
            (Some(until), phase) => until.phase() == phase,
            (None, _) => false,
        };
        if is_reached {
            return Turn::End(Ok(()));
        }
        let is_past = matches!(self.until, Some(Until::Running | Until::Paused));
        if !(status.is_over() || is_past && status.phase == "promoted") {
            return Turn::GoOn;
        }
        let over = format!("{}: is {}", status.id, plain(&status.phase));
        Turn::End(match (wanted, status.phase.as_str()) {
            (None, "finished") => Ok(()),
            _ => Err(Failure::Otherwise(over)),
        })
    }
}

impl Until {
    fn phase(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::Finished => "finished",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}
