//! Users as they are stored: a list of users with their records, of which later ones
//! replace earlier ones. A store keeps such lists one behind the other, because tables
//! with a row for each user are written in random places, at a page for each.
//!
//! The first byte is the version:
//! - 1: for each user 8 bytes (little-endian), the number whose bits say which fields
//!   of the record are set, and those fields as numbers;
//! - `0` (the digit): one user in hex digits, 8 bytes (big-endian) and the record as 17
//!   numbers of 4 bytes (little-endian), which is what rows of the first version became.

use super::{UnitRecord, Units};
use crate::domain::packed::{Damage, Packed, put};
use serinus_core::identity::UnitHash;
use serinus_core::plan::compiled::MAX_EDGES;

const VERSION: u8 = 1;
const HEX_ROW: u8 = b'0';

/// Numbers of a record: those of the first version, and what came later.
const FIRST_FIELDS: usize = 5 + MAX_EDGES;
const FIELDS: usize = FIRST_FIELDS + 4;

/// Users as bytes.
#[must_use]
pub fn pack(units: impl Iterator<Item = (UnitHash, UnitRecord)>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (unit, record) in units {
        bytes.extend_from_slice(&unit.to_le_bytes());
        let fields = fields(&record);
        let set = fields.iter().zip(0u32..).filter(|(epoch, _)| **epoch != 0);
        put(&mut bytes, set.fold(0, |set, (_, bit)| set | 1 << bit));
        for epoch in fields.into_iter().filter(|&epoch| epoch != 0) {
            put(&mut bytes, u64::from(epoch));
        }
    }
    bytes
}

impl Units {
    /// Adds a list that was packed, and returns its length.
    ///
    /// # Errors
    /// Bytes that no version wrote.
    pub fn unpack(&mut self, bytes: &[u8]) -> Result<usize, Damage> {
        let mut packed = Packed::new(bytes);
        match packed.byte()? {
            VERSION => {}
            HEX_ROW => {
                let (unit, record) = hex_row(bytes)?;
                self.update(unit, |known| *known = record);
                return Ok(1);
            }
            _ => return Err("users of a version that this judge does not read"),
        }
        let mut count = 0;
        while !packed.is_empty() {
            let unit = UnitHash::from_le_bytes(packed.bytes()?);
            let set: u32 = packed.small()?;
            if set >> FIELDS != 0 {
                return Err("a user has fields that no version wrote");
            }
            let mut fields = [0; FIELDS];
            for (field, bit) in fields.iter_mut().zip(0u32..) {
                if set >> bit & 1 == 1 {
                    *field = packed.small()?;
                }
            }
            self.update(unit, |known| *known = record(fields));
            count += 1;
        }
        Ok(count)
    }
}

fn fields(record: &UnitRecord) -> [u32; FIELDS] {
    let UnitRecord {
        exposed,
        outcome,
        failed,
        sampled,
        mismatched,
        slow,
        paired,
        told,
        wrong,
        valued,
    } = *record;
    let mut fields = [0; FIELDS];
    let all = [exposed, outcome, failed, sampled, mismatched]
        .into_iter()
        .chain(slow)
        .chain([paired, told, wrong, valued]);
    for (field, epoch) in fields.iter_mut().zip(all) {
        *field = epoch;
    }
    fields
}

fn record(fields: [u32; FIELDS]) -> UnitRecord {
    let [exposed, outcome, failed, sampled, mismatched, rest @ ..] = fields;
    let [later @ .., paired, told, wrong, valued] = rest;
    UnitRecord {
        exposed,
        outcome,
        failed,
        sampled,
        mismatched,
        slow: later,
        paired,
        told,
        wrong,
        valued,
    }
}

fn hex_row(text: &[u8]) -> Result<(UnitHash, UnitRecord), Damage> {
    const WRONG: Damage = "a user's row is no hex of 76 bytes";
    let digits = core::str::from_utf8(text).map_err(|_| WRONG)?;
    let number = |from: usize, length: usize| {
        let digits = digits.get(from..from + length).ok_or(WRONG)?;
        u64::from_str_radix(digits, 16).map_err(|_| WRONG)
    };
    if digits.len() != 1 + 16 + FIRST_FIELDS * 8 {
        return Err(WRONG);
    }
    let unit = number(1, 16)?;
    let mut fields = [0u32; FIELDS];
    for (index, field) in fields.iter_mut().take(FIRST_FIELDS).enumerate() {
        // Eight digits have 32 bits.
        *field = (number(17 + index * 8, 8)? as u32).swap_bytes();
    }
    Ok((unit, record(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> UnitRecord {
        UnitRecord {
            exposed: 1,
            outcome: 2,
            failed: 0,
            sampled: u32::MAX,
            mismatched: 5,
            slow: core::array::from_fn(|edge| edge as u32 * 1_000),
            ..UnitRecord::default()
        }
    }

    #[test]
    fn survives_storing_and_the_last_counts() {
        let seen = UnitRecord {
            exposed: 7,
            ..UnitRecord::default()
        };
        let told = UnitRecord {
            paired: 1,
            told: 2,
            wrong: 0,
            valued: u32::MAX,
            ..full()
        };
        let stored = pack([(u64::MAX, full()), (3, seen), (u64::MAX, seen), (0, told)].into_iter());
        let mut units = Units::default();
        assert_eq!(units.unpack(&stored), Ok(4));
        assert_eq!(units.len(), 3);
        assert_eq!(units.get(u64::MAX), Some(seen));
        assert_eq!(units.get(0), Some(told));
        assert_eq!(units.unpack(&pack([(0, seen)].into_iter())), Ok(1));
        assert_eq!(units.get(0), Some(seen));
    }

    #[test]
    fn a_user_with_one_event_takes_ten_bytes() {
        let seen = UnitRecord {
            exposed: 7,
            ..UnitRecord::default()
        };
        assert_eq!(pack((0..100).map(|unit| (unit, seen))).len(), 1_001);
    }

    /// The row of a user of the first version, as the migration writes it.
    #[test]
    fn rows_of_the_first_version_are_read() {
        let mut row = format!("0{:016x}", u64::MAX - 1);
        for field in fields(&full()).into_iter().take(FIRST_FIELDS) {
            for byte in field.to_le_bytes() {
                row.push_str(&format!("{byte:02X}"));
            }
        }
        let mut units = Units::default();
        assert_eq!(units.unpack(row.as_bytes()), Ok(1));
        assert_eq!(units.get(u64::MAX - 1), Some(full()));
    }

    #[test]
    fn what_no_version_wrote_is_an_error() {
        let good = pack([(9, full())].into_iter());
        for end in 2..good.len() {
            assert!(
                Units::default().unpack(&good[..end]).is_err(),
                "cut at {end}"
            );
        }
        for bad in [
            &b""[..],
            b"\x02",
            b"0123",
            b"0",
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(Units::default().unpack(bad).is_err(), "{bad:?}");
        }
    }
}
