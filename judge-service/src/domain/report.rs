//! Workers' reports, read as fast as they come.
//!
//! Most of a report are rows of whole numbers, two thousand of them, and a judge reads ten
//! thousand reports a second: serde's general way took a third of all that is done for one.
//! So the rows are cut out as they are and read here, as the filter writes them. Whatever
//! it does not write is read the general way, which has words for what is wrong.

use serde::Deserialize;
use serde_json::value::RawValue;
use serinus_core::decision::Fallback;
use serinus_core::json::{self, FieldError};
use serinus_core::plan::Revision;
use serinus_core::plan::compiled::MAX_EDGES;
use serinus_core::report::{
    ArmReport, BreakerReport, FirstError, FirstOutcome, FirstSlow, NewUnit, Report, RolloutReport,
    SlotRow,
};
use std::collections::BTreeMap;

/// # Errors
/// The first field that does not fit.
pub fn read(bytes: &[u8]) -> Result<Report, FieldError> {
    match serde_json::from_slice::<Cut>(bytes).map(Cut::read) {
        Ok(Some(report)) => Ok(report),
        Ok(None) | Err(_) => json::read_quickly(bytes),
    }
}

/// [`Report`], with its rows as they came.
#[derive(Deserialize)]
struct Cut<'a> {
    version: u32,
    session: String,
    sequence: u64,
    revision: Option<Revision>,
    #[serde(borrow)]
    rollouts: Vec<CutRollout<'a>>,
}

#[derive(Deserialize)]
struct CutRollout<'a> {
    rollout: String,
    epoch: u64,
    #[serde(default)]
    segment: Option<String>,
    #[serde(borrow)]
    arms: Vec<CutArm<'a>>,
    #[serde(default)]
    new_units: Vec<NewUnit>,
    #[serde(default)]
    first_outcomes: Vec<FirstOutcome>,
    #[serde(default)]
    first_errors: Vec<FirstError>,
    #[serde(default)]
    first_slow: Vec<FirstSlow>,
    #[serde(default)]
    fallbacks: BTreeMap<Fallback, u64>,
    #[serde(default)]
    breaker: Option<BreakerReport>,
}

#[derive(Deserialize)]
struct CutArm<'a> {
    arm: String,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(borrow)]
    slots: &'a RawValue,
    #[serde(default)]
    histogram: Vec<(u16, u64)>,
    #[serde(default)]
    local_replies: u64,
    #[serde(default)]
    disconnects: u64,
    #[serde(default)]
    samples_sent: u64,
    #[serde(default)]
    samples_dropped: u64,
}

// === impl Cut ===

impl Cut<'_> {
    /// `None` for rows that are not as the filter writes them.
    fn read(self) -> Option<Report> {
        let rollouts = self.rollouts.into_iter().map(CutRollout::read);
        Some(Report {
            version: self.version,
            session: self.session,
            sequence: self.sequence,
            revision: self.revision,
            rollouts: rollouts.collect::<Option<_>>()?,
        })
    }
}

impl CutRollout<'_> {
    fn read(self) -> Option<RolloutReport> {
        let arms = self.arms.into_iter().map(CutArm::read);
        Some(RolloutReport {
            rollout: self.rollout,
            epoch: self.epoch,
            segment: self.segment,
            arms: arms.collect::<Option<_>>()?,
            new_units: self.new_units,
            first_outcomes: self.first_outcomes,
            first_errors: self.first_errors,
            first_slow: self.first_slow,
            fallbacks: self.fallbacks,
            breaker: self.breaker,
        })
    }
}

impl CutArm<'_> {
    fn read(self) -> Option<ArmReport> {
        Some(ArmReport {
            arm: self.arm,
            cluster: self.cluster,
            slots: rows(self.slots.get().as_bytes())?,
            histogram: self.histogram,
            local_replies: self.local_replies,
            disconnects: self.disconnects,
            samples_sent: self.samples_sent,
            samples_dropped: self.samples_dropped,
        })
    }
}

/// `[[slot,exposures,finished,errors,latency,[over,...]],...]`, without a space.
fn rows(text: &[u8]) -> Option<Vec<SlotRow>> {
    /// The shortest row, `[0,1,1,0,9,[]],`.
    const SHORTEST: usize = 15;
    let mut text = Text(text);
    text.skip(b'[')?;
    let mut rows = Vec::with_capacity(text.0.len() / SHORTEST);
    if text.next_is(b']') {
        return text.0.is_empty().then_some(rows);
    }
    loop {
        text.skip(b'[')?;
        let slot = u8::try_from(text.number()?).ok()?;
        let mut next = || {
            text.skip(b',')?;
            text.number()
        };
        let (exposures, finished, errors, latency_us) = (next()?, next()?, next()?, next()?);
        text.skip(b',')?;
        let over = text.numbers()?;
        let over = over.0.iter().take(over.1).copied().collect();
        rows.push(SlotRow(slot, exposures, finished, errors, latency_us, over));
        text.skip(b']')?;
        if text.next_is(b']') {
            return text.0.is_empty().then_some(rows);
        }
        text.skip(b',')?;
    }
}

/// What is left to read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn next_is(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }

    /// A whole number as JSON writes it: of digits, the first not 0 unless it is all.
    fn number(&mut self) -> Option<u64> {
        /// So many digits fit 64 bits, whatever they are.
        const MOST: usize = 19;
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let mut number = 0;
        let mut count = 0;
        for digit in digits.take(MOST) {
            number = number * 10 + u64::from(digit - b'0');
            count += 1;
        }
        let (digits, rest) = self.0.split_at_checked(count)?;
        let is_number = count > 0 && (count == 1 || digits.first() != Some(&b'0'));
        let ends = !rest.first().is_some_and(u8::is_ascii_digit);
        self.0 = rest;
        (is_number && ends).then_some(number)
    }

    /// A list of as many as a plan may have latency edges, and how many there are.
    fn numbers(&mut self) -> Option<([u64; MAX_EDGES], usize)> {
        let mut numbers = [0; MAX_EDGES];
        self.skip(b'[')?;
        if self.next_is(b']') {
            return Some((numbers, 0));
        }
        for (index, place) in numbers.iter_mut().enumerate() {
            *place = self.number()?;
            if self.next_is(b']') {
                return Some((numbers, index + 1));
            }
            self.skip(b',')?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..10, 0u64..100_000, any::<u64>()]
    }

    fn row() -> impl Strategy<Value = SlotRow> {
        let over = proptest::collection::vec(numbers(), 0..=MAX_EDGES);
        (
            any::<u8>(),
            numbers(),
            numbers(),
            numbers(),
            numbers(),
            over,
        )
            .prop_map(|(slot, exposures, finished, errors, latency_us, over)| {
                let over = over.into_iter().collect();
                SlotRow(slot, exposures, finished, errors, latency_us, over)
            })
    }

    proptest! {
        /// What the filter writes is read as serde reads it.
        #[test]
        fn rows_are_read_as_they_were_written(
            rows in proptest::collection::vec(row(), 0..40)
        ) {
            let text = serde_json::to_string(&rows).unwrap();
            let found = super::rows(text.as_bytes());
            let fit = rows.iter().all(|SlotRow(_, a, b, c, d, over)| {
                [a, b, c, d].into_iter().chain(over.iter()).all(|&number| number < 10_u64.pow(19))
            });
            prop_assert_eq!(found, fit.then(|| rows.clone()));
            let report = format!(
                r#"{{"version":1,"session":"s","sequence":1,"revision":null,"rollouts":[
                    {{"rollout":"r","epoch":1,"arms":[{{"arm":"a","slots":{text}}}]}}]}}"#
            );
            prop_assert_eq!(read(report.as_bytes()).unwrap().rollouts[0].arms[0].slots.clone(), rows);
        }

        /// What was changed anywhere is read as serde reads it, or is refused as by it.
        #[test]
        fn what_is_not_as_it_was_written_is_read_as_by_serde(
            rows in proptest::collection::vec(row(), 1..3),
            place in any::<prop::sample::Index>(),
            byte in prop::sample::select(b"0123456789[],.-e \n\"{}x".to_vec()),
        ) {
            let mut text = serde_json::to_vec(&rows).unwrap();
            let place = place.index(text.len());
            text[place] = byte;
            if let Some(found) = super::rows(&text) {
                prop_assert_eq!(found, serde_json::from_slice::<Vec<SlotRow>>(&text).unwrap());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let report = |slots: &str| {
            format!(
                r#"{{"version":1,"session":"s","sequence":1,"revision":null,"rollouts":[
                    {{"rollout":"r","epoch":1,"arms":[{{"arm":"a","slots":{slots}}}]}}]}}"#
            )
        };
        let spaced = read(report("[ [3, 1, 1, 0, 9, [] ] ]").as_bytes()).unwrap();
        let row = SlotRow(3, 1, 1, 0, 9, [].into_iter().collect());
        assert_eq!(spaced.rollouts[0].arms[0].slots, [row]);
        for wrong in ["[[3,1,1,0,-9,[]]]", "[[300,1,1,0,9,[]]]", "[[3,1]]", "7"] {
            let error = read(report(wrong).as_bytes()).unwrap_err();
            assert!(
                error.field.starts_with("rollouts[0].arms[0].slots"),
                "{wrong}: {error}"
            );
        }
    }
}
