//! Names of worker sessions, and sessions as they are stored: lists of names with the
//! number of the last report that was counted, of which later ones replace earlier ones.
//! Like users they are written one list behind the other, since a row for each would be
//! written in a random place.
//!
//! The first byte is the version:
//! - 1: for each session 16 bytes (little-endian) and its number;
//! - `0` (the digit): one session in hex digits, 16 bytes and 8 bytes of its number, which
//!   is what rows of the first version became.

use super::packed::{Damage, Packed, put};
use core::fmt;

const VERSION: u8 = 1;
const HEX_ROW: u8 = b'0';

/// The ledger of one worker's VM, as its reports name it: 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName(u128);

/// A session and its last report that was counted.
pub type Heard = (SessionName, u64);

// === impl SessionName ===

impl SessionName {
    /// `None` for what names no session.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serinus_core::report::is_session(text)
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A list as bytes.
#[must_use]
pub fn pack(sessions: impl Iterator<Item = Heard>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (name, sequence) in sessions {
        bytes.extend_from_slice(&name.0.to_le_bytes());
        put(&mut bytes, sequence);
    }
    bytes
}

/// Adds a list that was packed.
///
/// # Errors
/// Bytes that no version wrote.
pub fn unpack(bytes: &[u8], sessions: &mut Vec<Heard>) -> Result<(), Damage> {
    let mut packed = Packed::new(bytes);
    match packed.byte()? {
        VERSION => {
            while !packed.is_empty() {
                let name = SessionName(u128::from_le_bytes(packed.bytes()?));
                sessions.push((name, packed.number()?));
            }
            Ok(())
        }
        HEX_ROW => {
            sessions.push(hex_row(bytes).ok_or("a session's row is no hex of 24 bytes")?);
            Ok(())
        }
        _ => Err("sessions of a version that this judge does not read"),
    }
}

fn hex_row(row: &[u8]) -> Option<Heard> {
    let digits = core::str::from_utf8(row.get(1..)?).ok()?;
    let (name, sequence) = digits.split_at_checked(32)?;
    let is_number = sequence.len() == 16 && !sequence.starts_with('+');
    let sequence = u64::from_str_radix(sequence, 16).ok()?;
    is_number.then_some((SessionName::read(name)?, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u128) -> SessionName {
        SessionName::read(&format!("{number:032x}")).unwrap()
    }

    #[test]
    fn a_name_is_32_hex_digits() {
        let text = "00ff".repeat(8);
        assert_eq!(SessionName::read(&text).unwrap().to_string(), text);
        let upper = SessionName::read(&text.to_uppercase());
        assert_eq!(upper, SessionName::read(&text), "case names nobody else");
        for wrong in ["", "0", &format!("+{}", &text[1..]), &format!("{text}0")] {
            assert_eq!(SessionName::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn survives_storing_in_order() {
        let heard = [(name(u128::MAX), 1), (name(0), u64::MAX), (name(7), 300)];
        let mut found = Vec::new();
        unpack(&pack(heard.into_iter()), &mut found).unwrap();
        unpack(&pack([heard[0]].into_iter()), &mut found).unwrap();
        assert_eq!(found, [heard[0], heard[1], heard[2], heard[0]]);
    }

    #[test]
    fn rows_of_the_first_version_are_read() {
        let row = format!("0{}{:016x}", name(5), 9);
        let mut found = Vec::new();
        unpack(row.as_bytes(), &mut found).unwrap();
        assert_eq!(found, [(name(5), 9)]);
    }

    #[test]
    fn what_no_version_wrote_is_an_error() {
        let good = pack([(name(9), 300)].into_iter());
        for end in 2..good.len() {
            assert!(unpack(&good[..end], &mut Vec::new()).is_err(), "{end}");
        }
        let signed = format!("0{}+00000000000000f", name(1));
        for bad in [&b""[..], b"\x02", b"0", b"0123", signed.as_bytes()] {
            assert!(unpack(bad, &mut Vec::new()).is_err(), "{bad:?}");
        }
    }
}
