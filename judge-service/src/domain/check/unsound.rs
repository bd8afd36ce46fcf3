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

/// What somebody wrote may be of any length, and stands in errors.
fn shortened(error: FieldError) -> FieldError {
    const LONGEST_FIELD: usize = 300;
    const LONGEST_PROBLEM: usize = 2_000;
    let cut = |text: String, most: usize| match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    };
    let FieldError { field, problem } = error;
    FieldError::new(cut(field, LONGEST_FIELD), cut(problem, LONGEST_PROBLEM))
}

impl From<FieldError> for Unsound {
    fn from(first: FieldError) -> Self {
        Self {
            first: shortened(first),
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
            self.0.push(shortened(problem));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_in_number_and_length() {
        let mut problems = Problems::default();
        assert!(problems.is_empty());
        let long = "\u{e9}".repeat(100_000);
        (0..1_000).for_each(|_| problems.add(FieldError::new(&*long, &*long)));
        assert_eq!(problems.len(), MOST);
        let wrong = problems.into_result().unwrap_err();
        assert!(wrong.to_string().len() < 500_000);
        assert!(wrong.first().field.ends_with("\u{e9}..."));
        let one = Unsound::from(FieldError::new("id", long));
        assert_eq!(one.first().problem.chars().count(), 2_003);
    }
}
