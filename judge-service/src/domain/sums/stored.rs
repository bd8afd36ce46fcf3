//! Sums as they are stored: packed, since JSON of them would cost more than counting.
//!
//! The first byte is the version. Version 1 is the fields in order, each number packed,
//! each list behind its length; 2 has each arm's answers behind its first events, 3 the bet
//! on values behind those, and 4 what all values come to; 5 has what a segment is judged by,
//! and which answers of pairs users got. JSON, which the first databases have, begins with `{`.

use super::{
    Answers, ArmSums, Bet, EpochSums, Events, Firsts, Outcomes, Pairs, Trip, Values, Worth,
};
use crate::domain::packed::{Packed, put, put_text};
use std::collections::BTreeMap;

const VERSION: u8 = 5;
const WITHOUT_SEGMENTS: u8 = 4;
const WITHOUT_WORTH: u8 = 3;
const WITHOUT_BETS: u8 = 2;
const WITHOUT_ANSWERS: u8 = 1;

impl EpochSums {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            epoch,
            segment,
            arms,
            trips,
            fallbacks,
        } = self;
        // Most lists of 256 counts take one to three bytes each.
        let mut bytes = Vec::with_capacity(1_024 + arms.len() * 8_192);
        bytes.push(VERSION);
        put(&mut bytes, *epoch);
        match segment {
            None => bytes.push(0),
            Some(name) => {
                bytes.push(1);
                put_text(&mut bytes, name);
            }
        }
        put(&mut bytes, arms.len() as u64);
        for arm in arms {
            put_arm(&mut bytes, arm);
        }
        put(&mut bytes, trips.len() as u64);
        for trip in trips {
            put_text(&mut bytes, &trip.arm);
            put(&mut bytes, trip.finished.into());
            put(&mut bytes, trip.errors.into());
        }
        put(&mut bytes, fallbacks.len() as u64);
        for (cause, &count) in fallbacks {
            put_text(&mut bytes, cause);
            put(&mut bytes, count);
        }
        bytes
    }

    /// # Errors
    /// Bytes that no version wrote, and why they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes.first() {
            Some(&version @ WITHOUT_ANSWERS..=VERSION) => {
                let mut packed = Packed::new(bytes);
                let sums = packed.byte().and_then(|_| epoch(&mut packed, version));
                let sums = sums.and_then(|sums| packed.end().map(|()| sums));
                sums.map_err(str::to_owned)
            }
            Some(b'{') => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            _ => Err("sums of a version that this judge does not read".to_owned()),
        }
    }
}

fn put_arm(bytes: &mut Vec<u8>, arm: &ArmSums) {
    let ArmSums {
        exposures,
        finished,
        errors,
        latency_sum_us,
        over,
        histogram,
        local_replies,
        disconnects,
        samples_sent,
        samples_dropped,
        clusters,
        firsts,
        in_segment,
        answers,
    } = arm;
    for slots in [exposures, finished, errors, latency_sum_us] {
        put_slots(bytes, slots);
    }
    put(bytes, over.len() as u64);
    for slots in over {
        put_slots(bytes, slots);
    }
    put(bytes, histogram.len() as u64);
    for (&bucket, &count) in histogram {
        put(bytes, bucket.into());
        put(bytes, count);
    }
    for count in [local_replies, disconnects, samples_sent, samples_dropped] {
        put(bytes, *count);
    }
    put(bytes, clusters.len() as u64);
    for cluster in clusters {
        put_text(bytes, cluster);
    }
    let Firsts {
        new_users,
        errors,
        slow,
        mismatches,
        outcomes,
        samples,
    } = firsts;
    put(bytes, *new_users);
    put_map(bytes, errors);
    put(bytes, slow.len() as u64);
    for map in slow {
        put_map(bytes, map);
    }
    put_map(bytes, mismatches);
    put_outcomes(bytes, outcomes);
    put_outcomes(bytes, samples);
    put_events(bytes, in_segment);
    put_answers(bytes, answers);
}

fn put_events(bytes: &mut Vec<u8>, events: &Events) {
    // What is in no segment has none.
    if events.is_empty() {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    let Events {
        errors,
        slow,
        mismatches,
        wrong,
    } = events;
    put_map(bytes, errors);
    put(bytes, slow.len() as u64);
    for map in slow {
        put_map(bytes, map);
    }
    put_map(bytes, mismatches);
    put_map(bytes, wrong);
}

fn put_answers(bytes: &mut Vec<u8>, answers: &Answers) {
    // Most arms have none.
    if answers.is_empty() {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    let Answers {
        labels,
        scores,
        differences,
        pairs,
        told,
        wrong,
        values,
        worth,
        bet,
    } = answers;
    for map in [labels, scores] {
        put(bytes, map.len() as u64);
        for (label, &count) in map {
            bytes.extend_from_slice(&label.to_le_bytes());
            put(bytes, count);
        }
    }
    for count in [
        differences.users,
        differences.bad,
        pairs.users,
        pairs.differing,
        pairs.only_arm_wrong,
        pairs.only_control_wrong,
        pairs.only_arm_wrong_live,
        pairs.only_control_wrong_live,
    ] {
        put(bytes, count);
    }
    put_outcomes(bytes, told);
    put_map(bytes, wrong);
    put(bytes, values.users);
    for number in [
        values.sum,
        values.sum_of_squares,
        bet.log_wealth,
        bet.sum,
        bet.sum_of_squares,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    put(bytes, worth.told);
    bytes.extend_from_slice(&worth.total.to_le_bytes());
}

/// Zeros at the end are left out: thresholds that are not in use have nothing else.
fn put_slots(bytes: &mut Vec<u8>, slots: &[u64]) {
    let used = slots
        .iter()
        .rposition(|&count| count != 0)
        .map_or(0, |last| last + 1);
    put(bytes, slots.len() as u64);
    put(bytes, used as u64);
    for &count in slots.iter().take(used) {
        put(bytes, count);
    }
}

fn put_map(bytes: &mut Vec<u8>, map: &BTreeMap<u64, u64>) {
    put(bytes, map.len() as u64);
    for (&epoch, &count) in map {
        put(bytes, epoch);
        put(bytes, count);
    }
}

fn put_outcomes(bytes: &mut Vec<u8>, map: &BTreeMap<u64, Outcomes>) {
    put(bytes, map.len() as u64);
    for (&epoch, outcomes) in map {
        put(bytes, epoch);
        put(bytes, outcomes.users);
        put(bytes, outcomes.bad);
    }
}

type Read<T> = Result<T, crate::domain::packed::Damage>;

fn epoch(packed: &mut Packed<'_>, version: u8) -> Read<EpochSums> {
    Ok(EpochSums {
        epoch: packed.number()?,
        segment: match packed.byte()? {
            0 => None,
            1 => Some(packed.text()?),
            _ => return Err("a segment is neither there nor not"),
        },
        arms: list(packed, |packed| arm(packed, version))?,
        trips: list(packed, |packed| {
            Ok(Trip {
                arm: packed.text()?,
                finished: packed.small()?,
                errors: packed.small()?,
            })
        })?,
        fallbacks: list(packed, |packed| Ok((packed.text()?, packed.number()?)))?,
    })
}

fn arm(packed: &mut Packed<'_>, version: u8) -> Read<ArmSums> {
    Ok(ArmSums {
        exposures: slots(packed)?,
        finished: slots(packed)?,
        errors: slots(packed)?,
        latency_sum_us: slots(packed)?,
        over: list(packed, slots)?,
        histogram: list(packed, |packed| Ok((packed.small()?, packed.number()?)))?,
        local_replies: packed.number()?,
        disconnects: packed.number()?,
        samples_sent: packed.number()?,
        samples_dropped: packed.number()?,
        clusters: list(packed, |packed| packed.text())?,
        firsts: Firsts {
            new_users: packed.number()?,
            errors: map(packed)?,
            slow: list(packed, map)?,
            mismatches: map(packed)?,
            outcomes: list(packed, outcomes)?,
            samples: list(packed, outcomes)?,
        },
        in_segment: match version {
            ..=WITHOUT_SEGMENTS => Events::default(),
            _ => events(packed)?,
        },
        answers: match version {
            WITHOUT_ANSWERS => Answers::default(),
            _ => answers(packed, version)?,
        },
    })
}

fn events(packed: &mut Packed<'_>) -> Read<Events> {
    match packed.byte()? {
        0 => return Ok(Events::default()),
        1 => {}
        _ => return Err("a segment's events are neither there nor not"),
    }
    Ok(Events {
        errors: map(packed)?,
        slow: list(packed, map)?,
        mismatches: map(packed)?,
        wrong: map(packed)?,
    })
}

fn pairs(packed: &mut Packed<'_>, version: u8) -> Read<Pairs> {
    let pairs = Pairs {
        users: packed.number()?,
        differing: packed.number()?,
        only_arm_wrong: packed.number()?,
        only_control_wrong: packed.number()?,
        ..Pairs::default()
    };
    Ok(match version {
        // Which answer was the wrong one decides what they say.
        ..=WITHOUT_SEGMENTS => Pairs {
            only_arm_wrong: 0,
            only_control_wrong: 0,
            ..pairs
        },
        _ => Pairs {
            only_arm_wrong_live: packed.number()?,
            only_control_wrong_live: packed.number()?,
            ..pairs
        },
    })
}

fn answers(packed: &mut Packed<'_>, version: u8) -> Read<Answers> {
    match packed.byte()? {
        0 => return Ok(Answers::default()),
        1 => {}
        _ => return Err("answers are neither there nor not"),
    }
    let mut answers = Answers {
        labels: list(packed, label)?,
        scores: list(packed, label)?,
        differences: Outcomes {
            users: packed.number()?,
            bad: packed.number()?,
        },
        pairs: pairs(packed, version)?,
        told: list(packed, outcomes)?,
        wrong: map(packed)?,
        values: Values {
            users: packed.number()?,
            sum: f64::from_le_bytes(packed.bytes()?),
            sum_of_squares: f64::from_le_bytes(packed.bytes()?),
        },
        bet: match version {
            WITHOUT_BETS => Bet::default(),
            _ => Bet {
                log_wealth: f64::from_le_bytes(packed.bytes()?),
                sum: f64::from_le_bytes(packed.bytes()?),
                sum_of_squares: f64::from_le_bytes(packed.bytes()?),
            },
        },
        worth: Worth::default(),
    };
    answers.worth = match version {
        // Of what was told, first values alone were counted.
        WITHOUT_BETS | WITHOUT_WORTH => Worth {
            told: answers.values.users,
            total: answers.values.sum,
        },
        _ => Worth {
            told: packed.number()?,
            total: f64::from_le_bytes(packed.bytes()?),
        },
    };
    Ok(answers)
}

fn label(packed: &mut Packed<'_>) -> Read<(i64, u64)> {
    let label = i64::from_le_bytes(packed.bytes()?);
    Ok((label, packed.number()?))
}

fn slots(packed: &mut Packed<'_>) -> Read<Vec<u64>> {
    let length = packed.length()?;
    let used = packed.length()?;
    if used > length {
        return Err("a list has more counts than slots");
    }
    let mut slots = Vec::with_capacity(length);
    for _ in 0..used {
        slots.push(packed.number()?);
    }
    slots.resize(length, 0);
    Ok(slots)
}

fn map(packed: &mut Packed<'_>) -> Read<BTreeMap<u64, u64>> {
    list(packed, |packed| Ok((packed.number()?, packed.number()?)))
}

fn outcomes(packed: &mut Packed<'_>) -> Read<(u64, Outcomes)> {
    let epoch = packed.number()?;
    let users = packed.number()?;
    let bad = packed.number()?;
    Ok((epoch, Outcomes { users, bad }))
}

fn list<T, L: FromIterator<T>>(
    packed: &mut Packed<'_>,
    mut next: impl FnMut(&mut Packed<'_>) -> Read<T>,
) -> Read<L> {
    let length = packed.length()?;
    (0..length).map(|_| next(packed)).collect()
}

#[cfg(test)]
mod tests;
