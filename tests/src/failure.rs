//! What the lab's functions fail with: a sentence for the person who reads it.

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T> = std::result::Result<T, Failure>;

/// Says what was being done when something failed.
pub trait During<T> {
    /// # Errors
    /// The same as before, with `what` in front.
    fn during(self, what: &str) -> Result<T>;
}

impl<T, E: std::fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}
