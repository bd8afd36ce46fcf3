//! From a document to a type, with the path of what does not fit and of what nobody
//! knows.
//!
//! It reads from a tree that it borrows, so that no path of an error has anything to
//! drop. It does what serde_path_to_error and serde_ignored do around serde_json, in a
//! quarter of the code: their generic wrappers made up a fifth of the filter. And it
//! speaks of texts and lists where they speak of Rust's types.

use super::FieldError;
use super::tree::{Number, Tree};
use super::wrong::{Place, Wrong, located};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::RefCell;

pub struct Reader<'a> {
    tree: &'a Tree,
    place: &'a Place<'a>,
    unknown: &'a RefCell<Vec<String>>,
}

/// Reads a tree; adds the paths of the fields that the type does not have.
pub fn read<T: de::DeserializeOwned>(
    tree: &Tree,
    unknown: &mut Vec<String>,
) -> Result<T, FieldError> {
    let seen = RefCell::default();
    let reader = Reader {
        tree,
        place: &Place::Root,
        unknown: &seen,
    };
    let value = T::deserialize(reader);
    unknown.append(&mut seen.into_inner());
    Ok(value?)
}

impl Reader<'_> {
    /// What is whole however it is written, as JSON Schema has it: `1e3` and `5.0` are.
    #[inline(never)]
    fn whole(&self) -> Option<Number> {
        const END: f64 = 18_446_744_073_709_551_616.0;
        match *self.tree {
            Tree::Number(Number::Fraction(number)) if number.fract() == 0.0 => {
                if (0.0..END).contains(&number) {
                    Some(Number::Whole(number as u64))
                } else if (-END / 2.0..0.0).contains(&number) {
                    Some(Number::Negative(number as i64))
                } else {
                    None
                }
            }
            Tree::Number(number) => Some(number),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn no_whole(&self, least: i64, most: u64) -> Wrong {
        self.wrong(&format!("a whole number from {least} to {most}"))
    }

    #[cold]
    #[inline(never)]
    fn wrong(&self, right: &str) -> Wrong {
        let found = match self.tree {
            Tree::Number(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        Wrong::at(self.place, format!("is {found}; {right} is right"))
    }

    fn at<'b>(&'b self, tree: &'b Tree, place: &'b Place<'b>) -> Reader<'b> {
        Reader {
            tree,
            place,
            unknown: self.unknown,
        }
    }
}

// === the deserializer ===

/// Whole numbers of each size, with what would fit.
macro_rules! whole_numbers {
    ($($method:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.whole() {
                Some(Number::Whole(number)) if $type::try_from(number).is_ok() => {
                    located(visitor.visit_u64(number), self.place)
                }
                Some(Number::Negative(number)) if $type::try_from(number).is_ok() => {
                    located(visitor.visit_i64(number), self.place)
                }
                _ => Err(self.no_whole($type::MIN as i64, $type::MAX as u64)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.tree {
            Tree::List(_) => self.deserialize_seq(visitor),
            Tree::Object(_) => self.deserialize_map(visitor),
            Tree::Text(_) => self.deserialize_str(visitor),
            Tree::Null => located(visitor.visit_unit(), self.place),
            &Tree::Bool(truth) => located(visitor.visit_bool(truth), self.place),
            &Tree::Number(Number::Whole(n)) => located(visitor.visit_u64(n), self.place),
            &Tree::Number(Number::Negative(n)) => located(visitor.visit_i64(n), self.place),
            &Tree::Number(Number::Fraction(n)) => located(visitor.visit_f64(n), self.place),
        }
    }

    whole_numbers! {
        deserialize_u8 u8
        deserialize_u16 u16
        deserialize_u32 u32
        deserialize_u64 u64
        deserialize_i64 i64
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = match *self.tree {
            Tree::Number(Number::Whole(number)) => number as f64,
            Tree::Number(Number::Negative(number)) => number as f64,
            Tree::Number(Number::Fraction(number)) => number,
            _ => return Err(self.wrong("a number")),
        };
        located(visitor.visit_f64(number), self.place)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.tree {
            &Tree::Bool(truth) => located(visitor.visit_bool(truth), self.place),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.tree {
            Tree::Text(text) => located(visitor.visit_str(text), self.place),
            _ => Err(self.wrong("a text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.tree {
            Tree::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Tree::List(list) = self.tree else {
            return Err(self.wrong("a list"));
        };
        let length = list.len();
        let mut elements = Elements {
            left: list.iter(),
            read: 0,
            place: self.place,
            unknown: self.unknown,
        };
        let value = located(visitor.visit_seq(&mut elements), self.place)?;
        if elements.left.len() > 0 {
            let read = elements.read;
            let problem = format!("has {length} elements; {read} are right");
            return Err(Wrong::at(self.place, problem));
        }
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Tree::Object(fields) = self.tree else {
            return Err(self.wrong("an object"));
        };
        let fields = Fields {
            left: fields.iter(),
            next: ("", &Tree::Null),
            place: self.place,
            unknown: self.unknown,
        };
        located(visitor.visit_map(fields), self.place)
    }

    /// From an object only: serde itself would take a list for the fields in their
    /// order, which nobody means.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    /// `"name"`, or `{"name": value}`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let place = self.place;
        let (name, value) = match self.tree {
            Tree::Text(name) => (name, None),
            Tree::Object(fields) => match fields.as_slice() {
                [(name, value)] => (name, Some(value)),
                _ => return Err(self.wrong("an object with one field")),
            },
            _ => return Err(self.wrong("a text")),
        };
        let field = Place::Field(place, name);
        let variant = Variant {
            name,
            value: value.map(|value| self.at(value, &field)),
            place,
        };
        located(visitor.visit_enum(variant), place)
    }

    /// A field that the type does not have.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.unknown.borrow_mut().push(self.place.path());
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char bytes byte_buf unit unit_struct identifier
    }
}

struct Elements<'a> {
    left: core::slice::Iter<'a, Tree>,
    read: usize,
    place: &'a Place<'a>,
    unknown: &'a RefCell<Vec<String>>,
}

impl<'de> de::SeqAccess<'de> for &mut Elements<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some(tree) = self.left.next() else {
            return Ok(None);
        };
        let place = Place::Element(self.place, self.read);
        self.read += 1;
        let reader = Reader {
            tree,
            place: &place,
            unknown: self.unknown,
        };
        located(seed.deserialize(reader), &place).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Fields<'a> {
    left: core::slice::Iter<'a, (String, Tree)>,
    /// The field whose name was read.
    next: (&'a str, &'a Tree),
    place: &'a Place<'a>,
    unknown: &'a RefCell<Vec<String>>,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.left.next() else {
            return Ok(None);
        };
        self.next = (name, value);
        let place = Place::Field(self.place, name);
        located(seed.deserialize(Key(name)), &place).map(Some)
    }

    #[inline(never)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, tree) = self.next;
        let place = Place::Field(self.place, name);
        let reader = Reader {
            tree,
            place: &place,
            unknown: self.unknown,
        };
        located(seed.deserialize(reader), &place)
    }
}

/// A name in an object; where the type's keys are numbers, a number.
struct Key<'a>(&'a str);

macro_rules! number_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Wrong::somewhere("is no number".to_owned())),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.0)
    }

    number_keys! {
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i128 u8 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Variant<'a> {
    name: &'a str,
    value: Option<Reader<'a>>,
    place: &'a Place<'a>,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Wrong;
    type Variant = VariantValue<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantValue<'a>), Wrong> {
        let variant = located(seed.deserialize(Key(self.name)), self.place)?;
        Ok((variant, VariantValue(self.value, self.place)))
    }
}

struct VariantValue<'a>(Option<Reader<'a>>, &'a Place<'a>);

impl<'a> VariantValue<'a> {
    fn value(self) -> Result<Reader<'a>, Wrong> {
        let Self(value, place) = self;
        value.ok_or_else(|| Wrong::at(place, "is a text; an object is right"))
    }
}

impl<'de> de::VariantAccess<'de> for VariantValue<'_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Wrong::at(self.1, "is an object; a text is right")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.value()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.value()?.deserialize_map(visitor)
    }
}
