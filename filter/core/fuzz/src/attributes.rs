//! What a client sent in a header, as a cookie, query, token or text.
//!
//! The first line is a name, the rest the header's value.

use serinus_core::attribute::Attribute;
use serinus_core::condition::{Check, Condition, Pattern};
use serinus_core::issued::IssuedCookie;
use serinus_core::request::{self, Body, Reader};

struct Sent<'a>(&'a [u8]);

impl request::Request for Sent<'_> {
    fn header(&self, _name: &str) -> Option<Vec<u8>> {
        Some(self.0.to_vec())
    }

    fn body(&self) -> Body<'_> {
        Body::Whole(self.0)
    }
}

pub fn attributes(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let value = parts.next().unwrap_or_default();
    let sent = Sent(value);
    for attribute in [
        Attribute::Header("x".to_owned()),
        Attribute::Cookie(name.clone()),
        Attribute::Query(name.clone()),
        Attribute::Claim(name.clone()),
        Attribute::Body(format!("/{name}")),
    ] {
        let read = || {
            let reader = Reader::new(&sent);
            let found = attribute.read(&reader);
            found.map(std::borrow::Cow::into_owned)
        };
        let found = read();
        assert_eq!(found, read());
        if let Some(found) = &found {
            assert!(!found.is_empty(), "an empty one is absent");
            match &attribute {
                Attribute::Header(_) => assert_eq!(found.as_slice(), value),
                Attribute::Cookie(_) => {
                    assert!(is_within(found, value) && !found.contains(&b';'));
                    assert!(is_within(name.as_bytes(), value));
                }
                // Decoding makes nothing longer.
                Attribute::Query(_) => assert!(found.len() <= value.len()),
                Attribute::Claim(_) => {
                    assert!(value[..6].eq_ignore_ascii_case(b"bearer"));
                    assert!(std::str::from_utf8(found).is_ok());
                }
                Attribute::Body(_) => assert!(std::str::from_utf8(found).is_ok()),
            }
        }
        conditions(attribute.clone(), found.as_deref(), &sent);
    }
    cookies(&sent);
    if let Ok(pattern) = Pattern::new(&name)
        && let Ok(text) = std::str::from_utf8(value)
    {
        // However hostile, it ends, and a pattern is for the whole value.
        let _ = pattern.matches(value);
        let literal = text.chars().all(|c| c.is_ascii_alphanumeric());
        if name == text && literal && text.len() <= 4_096 {
            assert!(pattern.matches(value));
        }
    }
}

fn conditions(of: Attribute, found: Option<&[u8]>, sent: &Sent<'_>) {
    let holds = |is| {
        let condition = Condition { of: of.clone(), is };
        condition.holds(&Reader::new(sent))
    };
    assert_eq!(holds(Check::Present), found.is_some());
    assert_eq!(holds(Check::Prefix(String::new())), found.is_some());
    let text = found.and_then(|found| String::from_utf8(found.to_vec()).ok());
    if let Some(text) = text {
        assert!(holds(Check::In(vec![text.clone()])));
        assert!(holds(Check::Prefix(text)));
    }
    let range = |at_least, at_most| holds(Check::Range { at_least, at_most });
    let (below, above) = (range(f64::MIN, 0.0), range(0.0, f64::MAX));
    assert_eq!(range(f64::NEG_INFINITY, f64::INFINITY), below || above);
    assert_eq!(range(0.0, 0.0), below && above);
}

fn cookies(sent: &Sent<'_>) {
    let cookie = IssuedCookie::new("uid", "Path=/");
    if let Some(unit) = cookie.read(&Reader::new(sent)) {
        let digits = std::str::from_utf8(&unit).unwrap();
        let number = u128::from_str_radix(digits, 16).unwrap();
        // It is one that may have been issued.
        let (again, header) = cookie.issue(number.to_be_bytes());
        assert_eq!(*unit, again);
        assert_eq!(header, format!("uid={digits}; Path=/"));
    }
}

fn is_within(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
