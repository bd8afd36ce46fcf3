//! Reads a tensor's JSON `data`, flat or nested, in one pass.
//!
//! Only JSON that is itself malformed is an error here. Anything else that is not
//! a tensor (a text, a ragged array) is kept as a `problem`, because a request may
//! carry other tensors that nobody asks about and that are none of our concern.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// 1024 x 1024: one whole row of the largest model. Bounds the memory of a body of
/// very short numbers to 8 MiB of doubles.
const MAX_ELEMENTS: usize = 1024 * 1024;

/// Batch, channel, height, width and some to spare.
const MAX_RANK: usize = 8;

/// Labels of a batch that are texts.
const MAX_TEXTS: usize = 65_536;

/// What a tensor's `data` contained.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Elements {
    /// The elements in row-major order; `true` is 1 and `false` is 0.
    pub(super) numbers: Vec<f64>,
    /// The length of the array at each depth; one length if the data is flat.
    pub(super) lengths: Vec<usize>,
    pub(super) has_booleans: bool,
    /// A null is kept as NaN.
    pub(super) has_nulls: bool,
    /// The texts, where the elements are texts.
    pub(super) texts: Vec<String>,
    /// Why this is not a tensor. The other fields mean nothing then.
    pub(super) problem: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reader = Reader::default();
        At {
            reader: &mut reader,
            depth: 0,
        }
        .deserialize(deserializer)?;
        Ok(reader.finish())
    }
}

#[derive(Default)]
struct Reader {
    elements: Elements,
    /// The length of the first array seen at each depth; all others must equal it.
    lengths: [Option<usize>; MAX_RANK],
    /// The depth of the first element; all others must be as deep.
    rank: Option<usize>,
}

impl Reader {
    fn problem(&mut self, problem: &'static str) {
        self.elements.problem.get_or_insert(problem);
    }

    fn push(&mut self, depth: usize, number: f64) {
        if *self.rank.get_or_insert(depth) != depth {
            self.problem("has arrays of different depths");
        } else if self.elements.numbers.len() == MAX_ELEMENTS {
            self.problem("has more than 1048576 elements");
        } else if self.elements.problem.is_none() {
            self.elements.numbers.push(number);
        }
    }

    fn close(&mut self, depth: usize, length: usize) {
        match self.lengths.get_mut(depth) {
            None => self.problem("is nested more than 8 deep"),
            Some(known) => {
                if *known.get_or_insert(length) != length {
                    self.problem("has arrays of different lengths");
                }
            }
        }
    }

    fn finish(mut self) -> Elements {
        self.elements.lengths = self.lengths.iter().map_while(|length| *length).collect();
        // An empty array beside elements, as in [1, []], is one level too deep.
        match self.rank {
            Some(0) => self.problem("is not an array"),
            Some(rank) if rank != self.elements.lengths.len() => {
                self.problem("has arrays of different depths")
            }
            _ => {}
        }
        self.elements
    }
}

/// Reads one value at a depth: an element, or an array one level down.
struct At<'a> {
    reader: &'a mut Reader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers or booleans, flat or nested")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.reader.elements.has_booleans = true;
        self.reader.push(self.depth, f64::from(u8::from(value)));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.reader.push(self.depth, value as f64);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.reader.push(self.depth, value as f64);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.reader.push(self.depth, value);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let texts = &mut self.reader.elements.texts;
        if texts.len() == MAX_TEXTS {
            self.reader.problem("has more than 65536 texts");
        } else {
            texts.push(text.to_owned());
        }
        // A place in the shape, which no number takes.
        self.reader.push(self.depth, f64::NAN);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.reader.elements.has_nulls = true;
        self.reader.push(self.depth, f64::NAN);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.reader
            .problem("has an object, but must have numbers or booleans");
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let mut length = 0_usize;
        while array
            .next_element_seed(At {
                reader: &mut *self.reader,
                depth: self.depth + 1,
            })?
            .is_some()
        {
            length += 1;
        }
        self.reader.close(self.depth, length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Elements {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn flat_and_nested_data_hold_the_same_numbers() {
        let flat = read("[1, 2.5, -3, 4, 5, 6]");
        let nested = read("[[1, 2.5, -3], [4, 5, 6]]");
        assert_eq!(flat.numbers, [1.0, 2.5, -3.0, 4.0, 5.0, 6.0]);
        assert_eq!(flat.numbers, nested.numbers);
        assert_eq!((flat.lengths, nested.lengths), (vec![6], vec![2, 3]));
        assert_eq!((flat.problem, nested.problem), (None, None));
    }

    #[test]
    fn booleans_are_zero_and_one() {
        let read = read("[true, false]");
        assert_eq!((read.numbers, read.has_booleans), (vec![1.0, 0.0], true));
    }

    #[test]
    fn nulls_and_texts_keep_their_places() {
        let nulls = read("[[1, null], [2, 3]]");
        assert!(nulls.has_nulls && nulls.numbers[1].is_nan());
        assert_eq!(nulls.lengths, [2, 2]);
        let texts = read("[\"a\", \"b\"]");
        assert_eq!((texts.texts.len(), texts.numbers.len()), (2, 2));
    }

    #[test]
    fn empty_arrays_keep_their_shape() {
        assert_eq!(read("[]").lengths, [0]);
        assert_eq!(read("[[], []]").lengths, [2, 0]);
    }

    #[test]
    fn what_is_not_a_tensor_is_a_problem() {
        let cases = [
            ("1", "is not an array"),
            ("[[1, 2], [3]]", "has arrays of different lengths"),
            ("[1, [2]]", "has arrays of different depths"),
            ("[[1], 2]", "has arrays of different depths"),
            ("[1, []]", "has arrays of different depths"),
            ("[[[[[[[[[1]]]]]]]]]", "is nested more than 8 deep"),
            ("[{\"a\": [1]}]", "has an object"),
        ];
        for (json, expected) in cases {
            let problem = read(json).problem.unwrap();
            assert!(problem.starts_with(expected), "{json}: {problem}");
        }
    }

    #[test]
    fn elements_are_bounded() {
        let json = format!("[{}1]", "1,".repeat(MAX_ELEMENTS));
        let read = read(&json);
        assert_eq!(read.problem, Some("has more than 1048576 elements"));
        assert_eq!(read.numbers.len(), MAX_ELEMENTS);
    }

    #[test]
    fn a_number_beyond_a_double_is_malformed_json() {
        for json in ["[1e999]", "[-1e999]", "[NaN]", "[Infinity]"] {
            assert!(serde_json::from_str::<Elements>(json).is_err(), "{json}");
        }
    }
}
