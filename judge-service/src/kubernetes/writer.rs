//! Keeps the plan in WasmPlugin objects the one that is out.

use super::account::Account;
use super::client::Client;
use super::refusal::Refusal;
use crate::domain::Millis;
use crate::service::{Delivery, OBJECT, Published};
use serde_json::Value;
use serinus_core::plan::Revision;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// One object is not written more often.
const PACE: Duration = Duration::from_secs(1);

/// How often it is read whether the plan is still there: somebody may have replaced the
/// object.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

/// Whether the API keeps what was sent, which writes 1.0 as 1.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let mut all = one.iter();
            one.len() == other.len()
                && all.all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// What became of a plan that was to be in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    AsItWas,
    Written,
    /// Another judge judges by now.
    NotOurs,
}

/// A judge that was frozen must not undo what the next one wrote.
fn not_later(theirs: Option<Revision>, ours: Revision) -> Result<(), Refusal> {
    match theirs {
        Some(theirs) if theirs > ours => Err(Refusal::Later { theirs, ours }),
        _ => Ok(()),
    }
}

/// Whether this judge judges, and so writes; of several one does.
pub type Judges = Arc<dyn Fn() -> bool + Send + Sync>;

/// What is known of one object.
struct Writer {
    object: ObjectName,
    force: bool,
    client: Client,
    delivery: Arc<Delivery>,
    clock: fn() -> Millis,
    /// What the object has, as far as this judge knows.
    has: Option<Arc<Published>>,
    /// Failures since the last success.
    failed: u32,
    /// Each attempt is a version of its own for those who are shown it.
    attempts: u64,
    shown: bool,
}

/// Writes each plan into the object, while this judge judges. Never returns.
pub async fn write_plans(
    object: ObjectName,
    account: Account,
    force: bool,
    delivery: Arc<Delivery>,
    judges: Judges,
    clock: fn() -> Millis,
) {
    let mut plan = delivery.subscribe();
    let mut writer = Writer {
        object,
        force,
        client: Client::new(account),
        delivery,
        clock,
        has: None,
        failed: 0,
        attempts: 0,
        shown: false,
    };
    let mut next = Instant::now();
    loop {
        sleep_until(next).await;
        let pause = if judges() {
            let published = Arc::clone(&plan.borrow_and_update());
            if published.is_none() {
                PACE
            } else {
                writer.keep(published, &judges).await
            }
        } else {
            writer.stop_showing();
            PACE
        };
        // A new plan is not kept waiting by a pause, but by the pace.
        let now = Instant::now();
        let changed = timeout_at(now + pause, plan.changed()).await;
        next = match changed {
            Ok(Ok(())) => now + PACE,
            Ok(Err(_)) => return,
            Err(_) => now,
        };
    }
}

// === impl Writer ===

impl Writer {
    /// Writes the plan if the object does not have it; how long then to wait for news.
    async fn keep(&mut self, published: Arc<Published>, judges: &Judges) -> Duration {
        match self.try_keep(&published, judges).await {
            Ok(Kept::NotOurs) => {
                self.stop_showing();
                PACE
            }
            Ok(kept) => {
                if kept == Kept::Written || self.failed > 0 {
                    tracing::info!(object = %self.object, revision = %published.revision, "the plan is in the WasmPlugin");
                }
                self.failed = 0;
                self.show(&published, None);
                self.has = Some(published);
                LOOK_EVERY
            }
            Err(refusal) => {
                let why = refusal.say(&self.object);
                tracing::warn!(object = %self.object, revision = %published.revision, "{why}");
                self.show(&published, Some(&why));
                // It may have arrived all the same.
                self.has = None;
                self.failed = self.failed.saturating_add(1);
                let pause = PACE.saturating_mul(1 << self.failed.min(5));
                pause.min(LONGEST_PAUSE)
            }
        }
    }

    async fn try_keep(
        &mut self,
        published: &Arc<Published>,
        judges: &Judges,
    ) -> Result<Kept, Refusal> {
        let plan: Value = serde_json::from_slice(&published.bytes)
            .map_err(|error| Refusal::Away(format!("the plan is no JSON: {error}")))?;
        // An object that is not there is not made: its module is not ours to choose.
        let there = self.client.read(&self.object).await?;
        let is_there = there.plan.as_ref().is_some_and(|there| same(there, &plan));
        if is_there && self.has.is_some() {
            return Ok(Kept::AsItWas);
        }
        not_later(there.revision(), published.revision)?;
        // Reading may have taken seconds, in which another judge took over.
        if !judges() {
            return Ok(Kept::NotOurs);
        }
        let wrote = self.client.apply(&self.object, &plan, &there, self.force);
        wrote.await?;
        Ok(Kept::Written)
    }

    /// Among the proxies, whose plan it is on the way to.
    fn show(&mut self, published: &Published, refused: Option<&str>) {
        let (node, now) = (self.object.shown(), (self.clock)());
        let mut proxies = self.delivery.proxies();
        if !std::mem::replace(&mut self.shown, true) {
            proxies.came(&node, now);
        }
        self.attempts += 1;
        let version = format!("{}-{}", published.revision, self.attempts);
        let revision = Some(published.revision);
        match refused {
            None => proxies.accepted(&node, &version, revision, now),
            Some(why) => proxies.refused(&node, &version, revision, why, now),
        }
    }

    fn stop_showing(&mut self) {
        if std::mem::replace(&mut self.shown, false) {
            let (node, now) = (self.object.shown(), (self.clock)());
            self.delivery.proxies().left(&node, now);
        }
        self.has = None;
    }
}

// === impl ObjectName ===

impl ObjectName {
    /// The name by which it stands among the proxies; a proxy's own has no space.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{OBJECT}{self}")
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RIGHT: &str = "NAMESPACE/NAME is right, such as istio-system/serinus-gateway";
        let (namespace, name) = text.split_once('/').ok_or(RIGHT)?;
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let is_name = |name: &str| {
            let ends = [name.bytes().next(), name.bytes().last()];
            let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            name.len() <= 253 && name.bytes().all(fits) && ends.into_iter().all(is_end)
        };
        if !is_name(namespace) || !is_name(name) {
            return Err(RIGHT);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let ours = value(r#"{"a": [1.0, 2], "b": "1.0"}"#);
        assert!(same(&ours, &value(r#"{"b": "1.0", "a": [1, 2]}"#)));
        for other in [
            r#"{"a": [1, 2]}"#,
            r#"{"a": [1], "b": "1.0"}"#,
            r#"{"a": [1, 3], "b": "1.0"}"#,
            r#"{"a": [1, 2], "b": 1.0}"#,
        ] {
            assert!(!same(&ours, &value(other)), "{other}");
        }
    }

    #[test]
    fn a_later_plan_is_not_written_over() {
        let revision = |generation, counter| Revision {
            generation,
            counter,
        };
        let ours = revision(2, 7);
        for (theirs, fits) in [
            (None, true),
            (Some(revision(2, 7)), true),
            (Some(revision(1, 900)), true),
            (Some(revision(2, 8)), false),
            (Some(revision(3, 1)), false),
        ] {
            assert_eq!(not_later(theirs, ours).is_ok(), fits, "{theirs:?}");
        }
        let said = not_later(Some(revision(3, 1)), ours).unwrap_err();
        let said = said.say(&"a/b".parse().unwrap());
        assert!(
            said.contains("a/b has plan 3.1") && said.contains("2.7"),
            "{said}"
        );
    }

    #[test]
    fn names_go_into_a_url_as_they_are() {
        let name: ObjectName = "istio-system/serinus-gateway".parse().unwrap();
        assert_eq!(name.shown(), "WasmPlugin istio-system/serinus-gateway");
        for wrong in ["", "a", "/a", "a/", "a/b/c", "a/B", "a/b?c", "../a", "a/-"] {
            wrong.parse::<ObjectName>().unwrap_err();
        }
    }
}
