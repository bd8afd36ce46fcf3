//! Workers' reports, read as fast as they come.
//!
//! Most of a report are rows of whole numbers, two thousand of them, and a judge reads ten
//! thousand reports a second: serde's general way took a third of all that is done for one.
//! So the rows are read here, as the filter writes them, and the rest by serde. Whatever
//! the filter does not write is read by serde as a whole, with words for what is wrong.

use memchr::memmem::Finder;
use serinus_core::json::{self, FieldError};
use serinus_core::plan::compiled::MAX_EDGES;
use serinus_core::report::{Report, SlotRow};
use std::sync::LazyLock;

/// # Errors
/// The first field that does not fit.
pub fn read(bytes: &[u8]) -> Result<Report, FieldError> {
    match read_as_written(bytes) {
        Some(report) => Ok(report),
        None => json::read_quickly(bytes),
    }
}

/// `None` for what the filter does not write.
fn read_as_written(bytes: &[u8]) -> Option<Report> {
    let (rest, rows) = cut(bytes)?;
    let mut report: Report = serde_json::from_slice(&rest).ok()?;
    let mut rows = rows.into_iter();
    for arm in report.rollouts.iter_mut().flat_map(|part| &mut part.arms) {
        arm.slots = rows.next()?;
    }
    rows.next().is_none().then_some(report)
}

/// The document with empty lists where its rows were, and the rows, list by list.
fn cut(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Vec<SlotRow>>)> {
    static SLOTS: LazyLock<Finder> = LazyLock::new(|| Finder::new(b"\"slots\":["));
    let mut rest = Vec::with_capacity(bytes.len().min(4_096));
    let mut rows = Vec::new();
    let mut text = Text(bytes);
    while let Some(found) = SLOTS.find(text.0) {
        // Within a text the first quote would stand behind a backslash, and so it would in
        // a name that only ends like this.
        let before = found.checked_sub(1).and_then(|before| text.0.get(before));
        if !matches!(before, Some(b'{' | b',')) {
            return None;
        }
        let (kept, cut) = text.0.split_at_checked(found + SLOTS.needle().len())?;
        rest.extend_from_slice(kept);
        rest.push(b']');
        text.0 = cut;
        rows.push(text.rows()?);
    }
    rest.extend_from_slice(text.0);
    Some((rest, rows))
}

/// What is left to read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// `[slot,exposures,finished,errors,latency,[over,...]],...]`, without a space: what
    /// follows the bracket that opens the list.
    fn rows(&mut self) -> Option<Vec<SlotRow>> {
        let mut rows = Vec::new();
        if self.next_is(b']') {
            return Some(rows);
        }
        loop {
            self.skip(b'[')?;
            let slot = u8::try_from(self.number()?).ok()?;
            let mut next = || {
                self.skip(b',')?;
                self.number()
            };
            let (exposures, finished, errors, latency_us) = (next()?, next()?, next()?, next()?);
            self.skip(b',')?;
            let (over, edges) = self.numbers()?;
            let over = over.into_iter().take(edges).collect();
            rows.push(SlotRow(slot, exposures, finished, errors, latency_us, over));
            self.skip(b']')?;
            if self.next_is(b']') {
                return Some(rows);
            }
            self.skip(b',')?;
        }
    }

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
            let found = Text(&text.as_bytes()[1..]).rows();
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
            let mut rest = Text(&text[1..]);
            if text[0] == b'[' && let Some(found) = rest.rows() {
                let read = &text[..text.len() - rest.0.len()];
                prop_assert_eq!(found, serde_json::from_slice::<Vec<SlotRow>>(read).unwrap());
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
        assert!(read_as_written(report("[[3,1,1,0,9,[]]]").as_bytes()).is_some());
        // A text may look like rows, and so may the end of a name.
        for odd in [
            r#""a":"\"slots\":[[1]]","slots""#,
            r#""b\"slots":[[1]],"slots""#,
        ] {
            let document = report("[[3,1,1,0,9,[]]]").replacen("\"slots\"", odd, 1);
            let found = read(document.as_bytes()).unwrap();
            assert_eq!(
                found.rollouts[0].arms[0].slots,
                spaced.rollouts[0].arms[0].slots
            );
        }
        for wrong in ["[[3,1,1,0,-9,[]]]", "[[300,1,1,0,9,[]]]", "[[3,1]]", "7"] {
            let error = read(report(wrong).as_bytes()).unwrap_err();
            assert!(
                error.field.starts_with("rollouts[0].arms[0].slots"),
                "{wrong}: {error}"
            );
        }
    }
}
