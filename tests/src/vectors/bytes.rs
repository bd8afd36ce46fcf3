//! Bytes in a JSON document.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A text stands for its UTF-8; `{"hex": "ff00"}` for what is none, and
/// `{"repeat": "ab", "times": 3}` for what is long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn read(value: &Value) -> Option<Vec<u8>> {
        if let Value::String(text) = value {
            return Some(text.clone().into_bytes());
        }
        let fields = value.as_object()?;
        if let Some(hex) = fields.get("hex").filter(|_| fields.len() == 1) {
            return from_hex(hex.as_str()?);
        }
        let text = fields.get("repeat")?.as_str()?;
        let times = usize::try_from(fields.get("times")?.as_u64()?).ok()?;
        (fields.len() == 2).then(|| text.repeat(times).into_bytes())
    }

    /// Each byte as `%XX`: any unit fits into a query so.
    #[must_use]
    pub fn in_query(&self) -> String {
        self.0.iter().map(|byte| format!("%{byte:02X}")).collect()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("{value} stands for no bytes")))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.chunks(2);
    let bytes = pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
    bytes.map(|byte| u8::try_from(byte).ok()).collect()
}
