//! Sums by name, so that two of them can be compared whole.

use serinus_tests::failure::Result;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Such as `steady/7/gold/canary/exposures/12`; what is 0 has no name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

/// Differences that are told one by one.
const TOLD: usize = 20;

impl Counts {
    pub fn add(&mut self, whose: &str, what: impl Display, count: u64) {
        if count > 0 {
            *self.0.entry(format!("{whose}/{what}")).or_default() += count;
        }
    }

    /// What begins with this.
    pub fn of(&self, rollout: &str) -> Self {
        let begin = format!("{rollout}/");
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(&begin));
        Self(ours.map(|(name, count)| (name.clone(), *count)).collect())
    }

    /// The sum of all whose name has this part.
    pub fn sum(&self, part: &str) -> u64 {
        let part = format!("/{part}/");
        let ours = self.0.iter().filter(|(name, _)| name.contains(&part));
        ours.map(|(_, count)| count).sum()
    }

    /// How many rollouts' epochs there are.
    pub fn epochs(&self) -> usize {
        let mut epochs: Vec<Option<&str>> =
            self.0.keys().map(|name| name.split('/').nth(1)).collect();
        epochs.dedup();
        epochs.len()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// # Errors
    /// What is not as in the model.
    pub fn must_be(&self, model: &Self) -> Result<()> {
        let names = self.0.keys().chain(model.0.keys());
        let mut wrong: Vec<String> = names
            .filter(|name| self.0.get(*name) != model.0.get(*name))
            .map(|name| {
                let [found, right] =
                    [self, model].map(|counts| counts.0.get(name).copied().unwrap_or_default());
                format!("{name} is {found} and should be {right}")
            })
            .collect();
        wrong.sort();
        wrong.dedup();
        if wrong.is_empty() {
            return Ok(());
        }
        let count = wrong.len();
        wrong.truncate(TOLD);
        Err(format!("{count} sums are wrong:\n{}", wrong.join("\n")).into())
    }
}

#[test]
fn a_difference_is_told_once() {
    let (mut some, mut other) = (Counts::default(), Counts::default());
    some.add("r/1/-/canary", "errors/3", 2);
    some.add("r/1/-/canary", "errors/4", 0);
    assert_eq!(some.len(), 1);
    other.add("r/1/-/canary", "errors/3", 2);
    some.must_be(&other).unwrap();
    other.add("r/2/-/canary", "errors/3", 1);
    let told = some.must_be(&other).unwrap_err().to_string();
    let sentence = "r/2/-/canary/errors/3 is 0 and should be 1";
    assert_eq!(told, format!("1 sums are wrong:\n{sentence}"));
    assert_eq!((other.epochs(), other.sum("errors")), (2, 3));
    assert_eq!(other.of("s"), Counts::default());
}
