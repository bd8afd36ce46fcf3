//! `serinus apply`: what files say is so, or stays so. What runs is not changed.

mod difference;

use crate::documents::{self, Document};
use crate::failure::Failure;
use crate::judge::{Answer, Call, Judge, JudgeOption, rollout_path};
use crate::output::{Format, OutputOption, print};
use crate::view::Status;
use crate::words::plain;
use crate::{get, runtime};
use difference::difference;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serinus_judge::domain::RolloutSpec;
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Apply {
    /// Rollouts as YAML or JSON, one or several in a file; - reads standard input
    #[arg(long = "file", short, value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Say what would be done, with a diff, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

/// What becomes of one document.
enum Step {
    Create {
        id: String,
        json: String,
        /// With all that is assumed; not known where another must be created before.
        spec: Option<Value>,
    },
    Unchanged(Status),
    /// It runs, or ran, as another.
    Differs {
        status: Status,
        difference: String,
    },
}

/// What a program reads of it.
#[derive(Serialize)]
struct Outcome {
    id: String,
    action: Became,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    WouldBeCreated,
    Created,
    Unchanged,
    Differs,
}

/// What has to be known of a document before the judge is asked.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    supersedes: Value,
}

#[derive(Deserialize)]
struct Draft {
    spec: Value,
}

impl Apply {
    pub fn run(&self) -> Result<(), Failure> {
        let mut documents = Vec::new();
        for path in &self.files {
            documents.extend(documents::all(path)?);
        }
        let judge = self.judge.open()?;
        runtime::run(async {
            // All is looked at before anything is done.
            let steps = self.looked_at(&judge, documents).await?;
            let refused = steps.iter().filter_map(Step::refusal).collect();
            let mut outcomes = Vec::new();
            if self.dry_run || steps.iter().any(|step| step.refusal().is_some()) {
                for step in &steps {
                    self.say(&step.words(self.dry_run))?;
                    outcomes.push(step.outcome());
                }
                self.report(&outcomes)?;
                return Failure::all(refused);
            }
            for step in steps {
                outcomes.push(self.do_it(&judge, step).await?);
            }
            self.report(&outcomes)
        })
    }

    /// In a table what is done is said as it is done.
    fn say(&self, text: &str) -> Result<(), Failure> {
        match self.output.output {
            Format::Table => print(text),
            Format::Json | Format::Yaml => Ok(()),
        }
    }

    fn report(&self, outcomes: &[Outcome]) -> Result<(), Failure> {
        self.output.print(&outcomes, String::new)
    }

    async fn looked_at(
        &self,
        judge: &Judge,
        documents: Vec<Document>,
    ) -> Result<Vec<Step>, Failure> {
        let mut earlier = BTreeSet::new();
        let (mut steps, mut wrong) = (Vec::new(), Vec::new());
        for document in documents {
            let named: Option<Named> = serde_json::from_str(document.json()).ok();
            let name = |of: fn(&Named) -> &Value| {
                let name = named.as_ref().and_then(|named| of(named).as_str());
                name.map(str::to_owned)
            };
            // Without one the judge says so.
            let id = name(|named| &named.id).unwrap_or_default();
            if !id.is_empty() && earlier.contains(&id) {
                wrong.push(Failure::Failed(
                    document.say(&format!("id: `{id}` stands in another document too")),
                ));
                continue;
            }
            let follows =
                name(|named| &named.supersedes).is_some_and(|before| earlier.contains(&before));
            match look_at(judge, &document, &id, follows).await {
                Ok(step) => match same_requests(&steps, &step, &document) {
                    Some(failure) => wrong.push(failure),
                    None => steps.push(step),
                },
                // Nothing more can be found out.
                Err(failure @ (Failure::NotReached(_) | Failure::Usage(_))) => return Err(failure),
                Err(failure) => wrong.push(failure),
            }
            earlier.insert(id);
        }
        Failure::all(wrong)?;
        Ok(steps)
    }

    async fn do_it(&self, judge: &Judge, step: Step) -> Result<Outcome, Failure> {
        let mut outcome = step.outcome();
        match step {
            Step::Create { id, json, .. } => {
                let call = Call::post("/v1/rollouts", Some(json.clone()));
                let answer = judge.call(call).await.and_then(Answer::accepted);
                if let Err(Failure::Conflict(_)) = &answer
                    && let Some(step) = quicker(judge, &id, &json).await?
                {
                    self.say(&step.words(false))?;
                    Failure::all(step.refusal().into_iter().collect())?;
                    return Ok(step.outcome());
                }
                let answer = answer.map_err(|failure| failure.map(|why| format!("{id}: {why}")))?;
                let status: Status = answer.read()?;
                outcome.action = Became::Created;
                self.say(&format!("{id}: created; {}\n", status.stands()))?;
            }
            Step::Unchanged(_) | Step::Differs { .. } => self.say(&step.words(false))?,
        }
        Ok(outcome)
    }
}

/// What became of a rollout that somebody else created since it was looked at, from the
/// same file perhaps.
async fn quicker(judge: &Judge, id: &str, json: &str) -> Result<Option<Step>, Failure> {
    match judge.get::<Value>(&rollout_path(id, "")).await {
        Ok(known) => compared(&Document::of(id, json), &known).map(Some),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Of two rollouts that are to be created, the later one has no request where both ask for
/// the same ones.
fn same_requests(steps: &[Step], step: &Step, document: &Document) -> Option<Failure> {
    let asked = |step: &Step| match step {
        Step::Create {
            spec: Some(spec), ..
        } => Some((spec["match"].clone(), spec["enforced_at"].clone())),
        _ => None,
    };
    let (own, Step::Create { spec, .. }) = (asked(step)?, step) else {
        return None;
    };
    // Rollouts of a layer share requests out.
    if spec.as_ref().is_some_and(|spec| !spec["layer"].is_null()) {
        return None;
    }
    let before = steps
        .iter()
        .find(|before| asked(before).as_ref() == Some(&own))?;
    let Step::Create { id, .. } = before else {
        return None;
    };
    let problem = format!("match: is that of `{id}` too, which would have all its requests");
    Some(Failure::Conflict(document.say(&problem)))
}

async fn look_at(
    judge: &Judge,
    document: &Document,
    id: &str,
    follows: bool,
) -> Result<Step, Failure> {
    let said = |failure: Failure| failure.map(|problem| document.say(&problem));
    let path = rollout_path(id, "");
    let known = match id {
        "" => None,
        _ => match judge.get::<Value>(&path).await {
            Ok(known) => Some(known),
            Err(Failure::NotFound(_)) => None,
            Err(failure) => return Err(failure),
        },
    };
    if let Some(known) = known {
        return compared(document, &known);
    }
    let json = document.json().to_owned();
    let spec = if follows {
        None
    } else {
        let call = Call::post("/v1/rollouts?dry_run=true", Some(json.clone()));
        let answer = judge.call(call).await?.accepted();
        if let Err(Failure::Conflict(_)) = &answer
            && let Some(step) = quicker(judge, id, &json).await?
        {
            return Ok(step);
        }
        let draft: Draft = answer.map_err(said)?.read()?;
        Some(draft.spec)
    };
    Ok(Step::Create {
        id: id.to_owned(),
        json,
        spec,
    })
}

fn compared(document: &Document, known: &Value) -> Result<Step, Failure> {
    let status: Status = get::read(known)?;
    let wanted = plain_value(&document.spec()?.completed())?;
    // Through the same type, as far as it goes: numbers are then written alike.
    let runs = known.get("spec").cloned().unwrap_or_default();
    let runs = match serde_json::from_value::<RolloutSpec>(runs.clone()) {
        Ok(spec) => plain_value(&spec)?,
        Err(_) => runs,
    };
    Ok(if runs == wanted {
        Step::Unchanged(status)
    } else {
        let place = document.place();
        let difference = difference(&status.id, &runs, place, &wanted)?;
        Step::Differs { status, difference }
    })
}

fn plain_value(spec: &RolloutSpec) -> Result<Value, Failure> {
    let value = serde_json::to_value(spec);
    Ok(value.map_err(|error| format!("failed to write a rollout: {error}"))?)
}

// === impl Step ===

impl Step {
    fn refusal(&self) -> Option<Failure> {
        let Self::Differs { status, .. } = self else {
            return None;
        };
        let (id, phase) = (&status.id, plain(&status.phase));
        Some(Failure::Conflict(if status.is_over() {
            format!(
                "{id}: is {phase}, and was another rollout; `serinus delete {id}` makes room, or choose another id"
            )
        } else {
            format!(
                "{id}: is {phase}, and nothing of it can be changed; start another with `supersedes: {id}`, or abort and delete this one first"
            )
        }))
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Create { id, .. } => Outcome {
                id: id.clone(),
                action: Became::WouldBeCreated,
                difference: None,
            },
            Self::Unchanged(status) => Outcome {
                id: status.id.clone(),
                action: Became::Unchanged,
                difference: None,
            },
            Self::Differs { status, difference } => Outcome {
                id: status.id.clone(),
                action: Became::Differs,
                difference: Some(difference.clone()),
            },
        }
    }

    fn words(&self, dry_run: bool) -> String {
        match self {
            Self::Create { id, spec, .. } if dry_run => {
                let whole = spec.as_ref();
                let whole = whole.and_then(|spec| {
                    difference(&format!("{id} (is not there)"), &Value::Null, id, spec).ok()
                });
                format!("{id}: would be created\n{}", whole.unwrap_or_default())
            }
            // Something else is refused, and so nothing is done.
            Self::Create { id, .. } => format!("{id}: not created\n"),
            Self::Unchanged(status) => format!("{}: unchanged; {}\n", status.id, status.stands()),
            Self::Differs { status, difference } => {
                format!("{}: differs from what is there\n{difference}", status.id)
            }
        }
    }
}
