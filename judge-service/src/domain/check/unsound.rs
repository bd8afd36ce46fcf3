//! All that is wrong with a spec, so that nobody mends one field to hear of the next.

use core::fmt;
use serinus_core::json::FieldError;

/// Nobody reads more.
const MOST: usize = 100;

/// What is wrong: one field at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    first: FieldError,
    others: Vec<FieldError>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldError>);

// === impl Unsound ===

impl Unsound {
    #[must_use]
    pub fn first(&self) -> &FieldError {
        &self.first
    }

    pub fn into_all(self) -> impl Iterator<Item = FieldError> {
        core::iter::once(self.first).chain(self.others)
    }

    pub fn all(&self) -> impl Iterator<Item = &FieldError> {
        core::iter::once(&self.first).chain(&self.others)
    }

    #[must_use]
    pub fn is_several(&self) -> bool {
        !self.others.is_empty()
    }
}

impl From<FieldError> for Unsound {
    fn from(first: FieldError) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others
            .iter()
            .try_for_each(|other| write!(f, "; {other}"))
    }
}

impl core::error::Error for Unsound {}

// === impl Problems ===

impl Problems {
    pub fn look(&mut self, at: Result<(), FieldError>) {
        if let Err(problem) = at {
            self.add(problem);
        }
    }

    /// Of a flood only the first are kept.
    pub fn add(&mut self, problem: FieldError) {
        if self.0.len() < MOST {
            self.0.push(problem);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// All that was seen.
    pub fn into_result(self) -> Result<(), Unsound> {
        let mut seen = self.0.into_iter();
        match seen.next() {
            None => Ok(()),
            Some(first) => Err(Unsound {
                first,
                others: seen.collect(),
            }),
        }
    }
}
