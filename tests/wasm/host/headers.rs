//! A header map as Envoy keeps it: ordered, names in lower case, values bytes.

use std::fmt;

/// Names and values are bytes: a client may send what is no UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(Vec<u8>, Vec<u8>)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| (line(name), line(value))))
            .finish()
    }
}

impl Headers {
    pub fn of<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(K, V)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.add(name.as_ref(), value.as_ref());
        }
        headers
    }

    /// The first value only: all that a filter can see of a repeated header.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_slice())
    }

    /// For assertions: the first value as text, with a replacement character
    /// for what is no UTF-8.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let of_name = self.0.iter().filter(|(key, _)| key == name.as_bytes());
        of_name.map(|(_, value)| value.as_slice()).collect()
    }

    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    pub fn remove(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(key, _)| *key != name);
    }

    /// Replaces the first value in place and drops the others, as Envoy does.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let name = name.to_ascii_lowercase();
        let Some(first) = self.0.iter().position(|(key, _)| *key == name) else {
            return self.add(&name, value);
        };
        self.0[first].1 = value.to_vec();
        let mut index = 0;
        self.0.retain(|(key, _)| {
            let keep = index <= first || *key != name;
            index += 1;
            keep
        });
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    // === the ABI's serialization ===

    /// Count, then the sizes of all names and values, then all of them, each
    /// ended by a zero byte.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = (self.0.len() as u32).to_le_bytes().to_vec();
        for (name, value) in &self.0 {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        for part in self.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(part);
            bytes.push(0);
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Headers> {
        let word = |at: usize| -> Option<usize> {
            let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(word) as usize)
        };
        let count = if bytes.is_empty() { 0 } else { word(0)? };
        let mut at = 4 + count * 8;
        let mut headers = Headers::default();
        for index in 0..count {
            let (name, value) = (word(4 + index * 8)?, word(8 + index * 8)?);
            let middle = at + name + 1;
            headers.add(
                bytes.get(at..at + name)?,
                bytes.get(middle..middle + value)?,
            );
            at = middle + value + 1;
        }
        Some(headers)
    }
}
