//! What is stored is read again, by whatever version it was written.

use super::*;
use crate::domain::sums::tests::everything;

#[test]
fn survives_storing() {
    for sums in [EpochSums::new(1, 2), everything()] {
        assert_eq!(EpochSums::from_bytes(&sums.to_bytes()), Ok(sums));
    }
}

/// Version 1 ends each arm where its answers are now.
#[test]
fn sums_without_answers_are_read() {
    let sums = EpochSums::new(5, 1);
    let mut bytes = sums.to_bytes();
    // Events in a segment, answers, trips and fallbacks.
    assert_eq!(bytes.split_off(bytes.len() - 4), [0; 4]);
    bytes.extend([0, 0]);
    bytes[0] = WITHOUT_ANSWERS;
    assert_eq!(EpochSums::from_bytes(&bytes), Ok(sums));
}

/// Version 2 ends answers where the bet is now.
#[test]
fn sums_without_bets_are_read() {
    let mut sums = EpochSums::new(5, 1);
    sums.arms[0].answers.values.count(7.0);
    sums.arms[0].answers.worth.count(7.0);
    let mut bytes = without_segments(&sums);
    // No trips, no fallbacks.
    let end = bytes.len() - 2 - WORTH;
    bytes.drain(end - 3 * size_of::<f64>()..end + WORTH);
    bytes[0] = WITHOUT_BETS;
    assert_eq!(EpochSums::from_bytes(&bytes), Ok(sums));
}

/// As version 4 has sums of one arm that differ from none in its values alone: what came
/// with 5 are zeros before those, an event's and two of pairs.
fn without_segments(sums: &EpochSums) -> Vec<u8> {
    let mut none = sums.clone();
    none.arms[0].answers = Answers::default();
    let before = none.to_bytes().len() - 4;
    let mut bytes = sums.to_bytes();
    // Behind a byte that says that there are answers: no labels and scores, and of
    // differences and pairs nothing but zeros.
    assert_eq!(
        bytes[before..before + 12],
        [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    bytes.drain(before + 8..before + 10);
    bytes.remove(before);
    bytes[0] = WITHOUT_SEGMENTS;
    bytes
}

#[test]
fn sums_without_segments_are_read() {
    let mut sums = EpochSums::new(5, 1);
    sums.arms[0].answers.values.count(7.0);
    sums.arms[0].answers.worth.count(7.0);
    assert_eq!(EpochSums::from_bytes(&without_segments(&sums)), Ok(sums));
}

/// What nothing is worth: a count, and a number.
const WORTH: usize = 1 + size_of::<f64>();

/// Version 3 ends answers where that begins now.
#[test]
fn sums_without_worth_are_read() {
    let mut sums = EpochSums::new(5, 1);
    sums.arms[0].answers.values.count(7.0);
    sums.arms[0].answers.worth.count(7.0);
    sums.arms[0].answers.bet.sum = 1.5;
    let mut bytes = without_segments(&sums);
    let end = bytes.len() - 2;
    bytes.drain(end - WORTH..end);
    bytes[0] = WITHOUT_WORTH;
    assert_eq!(EpochSums::from_bytes(&bytes), Ok(sums));
}

#[test]
fn sums_of_the_first_databases_are_read() {
    let json = serde_json::to_vec(&everything()).unwrap();
    assert_eq!(EpochSums::from_bytes(&json), Ok(everything()));
}

#[test]
fn what_no_version_wrote_is_an_error() {
    let good = everything().to_bytes();
    for end in 0..good.len() {
        assert!(EpochSums::from_bytes(&good[..end]).is_err(), "cut at {end}");
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(EpochSums::from_bytes(&longer).is_err());
    assert!(EpochSums::from_bytes(b"\x06").is_err());
    assert!(EpochSums::from_bytes(b"{}").is_err());
}
