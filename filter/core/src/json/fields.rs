//! Reading a struct as serde's derive does, in a fraction of its code.
//!
//! The derive keeps each field apart until all are read, so every field that does not
//! fit has to drop every other: for a rollout's 22 that was a tenth of the filter. Here
//! one value with all its defaults is filled field by field, and is all there is to drop.

use core::fmt;
use core::marker::PhantomData;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// What [`crate::read_fields`] says of a struct.
pub trait Fields: Sized {
    /// At most 32.
    const NAMES: &'static [&'static str];
    /// A bit for each field, the first one lowest.
    const REQUIRED: u32;

    /// What a field is that is not there; of required ones something to be replaced.
    fn blank() -> Self;

    /// Reads the value of the field with this index.
    ///
    /// # Errors
    /// A value that does not fit.
    fn fill<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error>;
}

/// Implements serde's `Deserialize` for a struct, from the list of its fields, each as
/// `name`, `name as "name in JSON"`, and either with `= value` where it may be missing.
///
/// With `..base` all may be missing, and are then as in `base`.
#[macro_export]
macro_rules! read_fields {
    ($type:ident { $($field:ident $(as $name:literal)? $(= $default:expr)?),* $(,)? }) => {
        $crate::read_fields!(@implement $type { $($field $($name)?),* }
            required 0 $(| $crate::read_fields!(@required $field $($default)?))*;
            blank $type { $($field: $crate::read_fields!(@blank $($default)?)),* });
    };
    ($type:ident { $($field:ident $(as $name:literal)?),*, ..$base:expr }) => {
        $crate::read_fields!(@implement $type { $($field $($name)?),* }
            required 0;
            blank $base);
    };
    (@required $field:ident) => { 1 << Field::$field as u32 };
    (@required $field:ident $default:expr) => { 0 };
    (@blank) => { ::core::default::Default::default() };
    (@blank $default:expr) => { $default };
    (@name $field:ident) => { ::core::stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@implement $type:ident { $($field:ident $($name:literal)?),* }
        required $required:expr; blank $blank:expr) => {
        const _: () = {
            // A field that is not in the list does not compile.
            const _: fn(&$type) = |$type { $($field: _),* }| ();

            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Field { $($field),* }

            impl $crate::json::Fields for $type {
                const NAMES: &'static [&'static str] =
                    &[$($crate::read_fields!(@name $field $($name)?)),*];
                const REQUIRED: u32 = $required;

                fn blank() -> Self {
                    $blank
                }

                fn fill<'de, A: ::serde::de::MapAccess<'de>>(
                    &mut self,
                    field: usize,
                    map: &mut A,
                ) -> ::core::result::Result<(), A::Error> {
                    match field {
                        $(field if field == Field::$field as usize => {
                            self.$field = map.next_value()?;
                        })*
                        _ => {}
                    }
                    Ok(())
                }
            }

            impl<'de> ::serde::Deserialize<'de> for $type {
                fn deserialize<D: ::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    $crate::json::fill(::core::stringify!($type), deserializer)
                }
            }
        };
    };
}

/// # Errors
/// A value that does not fit, a field that stands there twice, a required one that is
/// missing.
pub fn fill<'de, T: Fields, D: Deserializer<'de>>(
    name: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_struct(name, T::NAMES, Filling(PhantomData))
}

struct Filling<T>(PhantomData<T>);

impl<'de, T: Fields> Visitor<'de> for Filling<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::blank();
        let mut missing = T::REQUIRED;
        let mut seen = 0u32;
        while let Some(field) = map.next_key_seed(Name(T::NAMES))? {
            let Some((index, name)) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1 << index;
            if seen & bit != 0 {
                return Err(A::Error::duplicate_field(name));
            }
            seen |= bit;
            missing &= !bit;
            value.fill(index, &mut map)?;
        }
        match T::NAMES.get(missing.trailing_zeros() as usize) {
            Some(name) => Err(A::Error::missing_field(name)),
            None => Ok(value),
        }
    }
}

/// The name of a field, as its index and itself; `None` for one that is not known.
#[derive(Clone, Copy)]
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(usize, &'static str)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<(usize, &'static str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    #[inline(never)]
    fn visit_str<E>(self, found: &str) -> Result<Self::Value, E> {
        let mut names = self.0.iter().copied().enumerate();
        Ok(names.find(|(_, name)| *name == found))
    }
}
