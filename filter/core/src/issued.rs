//! A cookie that the filter gives to who has no unit.

use crate::attribute::Attribute;
use crate::request::Reader;
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCookie {
    name: Attribute,
    /// `Set-Cookie` around the value.
    before: String,
    after: String,
}

/// Hex digits of a value: 128 bits, which nobody guesses.
const DIGITS: usize = 32;

impl IssuedCookie {
    /// `attributes` as in `Set-Cookie`, such as `Path=/; HttpOnly`.
    #[must_use]
    pub fn new(name: &str, attributes: &str) -> Self {
        Self {
            name: Attribute::Cookie(name.to_owned()),
            before: format!("{name}="),
            after: format!("; {attributes}"),
        }
    }

    /// The unit that a request presents; a value that was never issued is none.
    #[must_use]
    pub fn read<'a, 'r>(&'r self, request: &'a Reader<'r>) -> Option<Cow<'a, [u8]>> {
        let value = self.name.read(request)?;
        let issued = value.len() == DIGITS
            && value
                .iter()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        issued.then_some(value)
    }

    /// A new unit, and the `Set-Cookie` that gives it to the client.
    #[must_use]
    pub fn issue(&self, random: [u8; 16]) -> (Vec<u8>, String) {
        let value = format!("{:032x}", u128::from_be_bytes(random));
        let header = format!("{}{value}{}", self.before, self.after);
        (value.into_bytes(), header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Fake;

    #[test]
    fn what_is_issued_is_read_back() {
        let cookie = IssuedCookie::new("uid", "Path=/; HttpOnly");
        let (unit, header) = cookie.issue([0xab; 16]);
        assert_eq!(header, format!("uid={}; Path=/; HttpOnly", "ab".repeat(16)));
        let presented = |value: &str| {
            let request = Fake::new([("cookie", value.as_bytes())]);
            let unit = cookie.read(&Reader::new(&request))?.into_owned();
            Some(unit)
        };
        let pair = header.split(';').next().unwrap();
        assert_eq!(presented(pair), Some(unit));
        for other in ["uid=1", &format!("uid={}", "AB".repeat(16)), "x=y"] {
            assert_eq!(presented(other), None, "{other}");
        }
    }
}
