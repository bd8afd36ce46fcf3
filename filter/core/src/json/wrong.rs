//! What does not fit, and where in the document.

use super::FieldError;
use core::fmt::Display;
use serde::de;

/// Where in a document, from the inside out.
pub enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Element(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// `rollouts[0].arms[1].name`; `.` for the whole.
    pub fn path(&self) -> String {
        match self {
            Self::Root => ".".to_owned(),
            Self::Field(Self::Root, name) => (*name).to_owned(),
            Self::Field(parent, name) => format!("{}.{name}", parent.path()),
            Self::Element(Self::Root, index) => format!("[{index}]"),
            Self::Element(parent, index) => format!("{}[{index}]", parent.path()),
        }
    }
}

/// An error; one that serde makes knows no path before it is located. In a box, and
/// made out of line, because every field of every type has a branch for it.
#[derive(Debug)]
pub struct Wrong(Box<Parts>);

#[derive(Debug)]
struct Parts {
    path: Option<String>,
    /// The field of the object there that is wrong.
    name: Option<&'static str>,
    problem: String,
}

impl Wrong {
    #[cold]
    #[inline(never)]
    fn new(path: Option<String>, name: Option<&'static str>, problem: String) -> Self {
        Self(Box::new(Parts {
            path,
            name,
            problem,
        }))
    }

    pub fn somewhere(problem: String) -> Self {
        Self::new(None, None, problem)
    }

    pub fn at(place: &Place<'_>, problem: impl Into<String>) -> Self {
        Self::new(Some(place.path()), None, problem.into())
    }

    /// Puts the path of `place` to an error that has none.
    #[cold]
    #[inline(never)]
    fn within(mut self, place: &Place<'_>) -> Self {
        let Parts { path, name, .. } = &mut *self.0;
        path.get_or_insert_with(|| match name {
            Some(name) => Place::Field(place, name).path(),
            None => place.path(),
        });
        self
    }
}

impl From<Wrong> for FieldError {
    fn from(error: Wrong) -> Self {
        let Parts { path, problem, .. } = *error.0;
        Self::new(path.unwrap_or_else(|| Place::Root.path()), problem)
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0.problem)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(problem: T) -> Self {
        Self::somewhere(problem.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::somewhere(format!("is {found}; {wanted} is right"))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn de::Expected) -> Self {
        Self::somewhere(format!("has {length} elements; {wanted} is right"))
    }

    fn unknown_variant(found: &str, wanted: &'static [&'static str]) -> Self {
        let found = found.escape_default();
        Self::somewhere(format!(
            "is `{found}`; one of {} is right",
            wanted.join(", ")
        ))
    }

    fn unknown_field(found: &str, wanted: &'static [&'static str]) -> Self {
        Self::unknown_variant(found, wanted)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(None, Some(name), "is missing".to_owned())
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(None, Some(name), "stands there twice".to_owned())
    }
}

pub fn located<T>(result: Result<T, Wrong>, place: &Place<'_>) -> Result<T, Wrong> {
    result.map_err(|error| error.within(place))
}
