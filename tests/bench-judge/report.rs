//! Reports as a worker sends them, made cheaply: most bytes of a rollout's reports are
//! the same, so each send writes only session, number and users into a prepared text.

use serde_json::json;

/// Rows of both arms: the canary has a tenth of the users.
pub const SLOTS: usize = 200;
const CANARY_SLOTS: usize = 20;

/// Users in the four lists, each another.
pub const NEW: usize = 10;
const OUTCOMES: usize = 6;
const ERRORS: usize = 2;
const SLOW: usize = 2;
pub const UNITS: usize = NEW + OUTCOMES + ERRORS + SLOW;

/// A user's number, of 20 digits.
const FIRST_UNIT: u64 = 10_000_000_000_000_000_000;
const UNIT_MARK: &str = "10000000000000000000";
const SESSION_MARK: &str = "5e55105e55105e55105e55105e55105e";
/// Of nine digits, and blanks before it.
const SEQUENCE_MARK: &str = "111111111";

pub struct Template {
    text: Vec<u8>,
    session: usize,
    sequence: usize,
    units: Vec<Unit>,
    /// Only of the canary, and all of it fails.
    failing: bool,
}

struct Unit {
    at: usize,
    /// Where its arm's number stands.
    arm_at: usize,
}

impl Template {
    /// The head of the request and the body. `failing`: every answer of the canary is an error.
    pub fn new(rollout: &str, epoch: u64, failing: bool) -> Self {
        let row = |slot: usize, canary: bool| {
            let requests = 1 + mix(slot as u64) % 3;
            let errors = if canary && failing {
                requests
            } else {
                u64::from(!canary && slot % 100 == 7)
            };
            let answered = requests - errors;
            let slow: Vec<u64> = if slot.is_multiple_of(2) && answered > 0 {
                vec![answered, 1]
            } else {
                vec![]
            };
            let latency_us = answered * (20_000 + slot as u64 * 31);
            json!([slot, requests, requests, errors, latency_us, slow])
        };
        let histogram = |first: u64, count: u64| -> Vec<_> {
            (0..count)
                .map(|place| json!([first + place, 3 + place % 7]))
                .collect()
        };
        let rows = |count: usize, canary: bool| -> Vec<_> {
            (0..count)
                .map(|number| row(number * 256 / count, canary))
                .collect()
        };
        // Lists hold the mark and an arm, which are written over for each report.
        let unit: u64 = FIRST_UNIT;
        let body = json!({
            "version": 1,
            "session": SESSION_MARK,
            "sequence": SEQUENCE_MARK.parse::<u64>().unwrap(),
            "revision": {"generation": 1, "counter": 1},
            "rollouts": [{
                "rollout": rollout,
                "epoch": epoch,
                "arms": [
                    {"arm": "control", "cluster": "model-v1", "slots": rows(SLOTS - CANARY_SLOTS, false),
                     "histogram": histogram(100, 24), "local_replies": 0, "disconnects": 1,
                     "samples_sent": 2, "samples_dropped": 0},
                    {"arm": "canary", "cluster": "model-v2", "slots": rows(CANARY_SLOTS, true),
                     "histogram": if failing { vec![] } else { histogram(101, 12) },
                     "local_replies": 0, "disconnects": 0, "samples_sent": 0, "samples_dropped": 0},
                ],
                "new_units": vec![json!([unit, 0]); NEW],
                "first_outcomes": vec![json!([unit, 0, failing]); OUTCOMES],
                "first_errors": vec![json!([unit, 0]); ERRORS],
                "first_slow": vec![json!([unit, 0, 1]); SLOW],
            }],
        })
        .to_string();
        let head = format!(
            "POST /v1/reports HTTP/1.1\r\nhost: judge\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let text = head + &body;
        let units = text.match_indices(UNIT_MARK).map(|(at, _)| Unit {
            at,
            arm_at: at + UNIT_MARK.len() + 1,
        });
        Self {
            session: text.find(SESSION_MARK).unwrap(),
            sequence: text.find(SEQUENCE_MARK).unwrap(),
            units: units.collect(),
            failing,
            text: text.into_bytes(),
        }
    }

    pub fn body_bytes(&self) -> usize {
        let text = String::from_utf8_lossy(&self.text);
        text.split_once("\r\n\r\n")
            .map_or(0, |(_, body)| body.len())
    }

    /// The next report of a session; `user` draws the users.
    pub fn write(&mut self, session: u64, sequence: u32, mut user: impl FnMut() -> u64) -> &[u8] {
        let hex = format!("{:016x}{session:016x}", mix(session));
        self.text[self.session..self.session + 32].copy_from_slice(hex.as_bytes());
        digits(
            &mut self.text[self.sequence..self.sequence + SEQUENCE_MARK.len()],
            sequence.into(),
            b' ',
        );
        for unit in &self.units {
            let user = user();
            let canary = self.failing || user.is_multiple_of(10);
            digits(
                &mut self.text[unit.at..unit.at + UNIT_MARK.len()],
                FIRST_UNIT + mix(user) % 8_000_000_000_000_000_000,
                b'0',
            );
            self.text[unit.arm_at] = b'0' + u8::from(canary);
        }
        &self.text
    }
}

/// A number from the right, and what stands before it.
fn digits(place: &mut [u8], mut number: u64, before: u8) {
    for digit in place.iter_mut().rev() {
        *digit = if number == 0 {
            before
        } else {
            b'0' + (number % 10) as u8
        };
        number /= 10;
    }
}

/// A number that looks random and is always the same for the same one: the last steps of
/// SplitMix64.
pub fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
