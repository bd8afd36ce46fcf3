//! Whom a story is told to.

use super::Moment;
use crate::drawing::Tile;

/// What a story shows while it runs. The demo draws it, a test prints it.
pub trait Screen {
    /// A new story, and what is to be known before it begins.
    fn title(&mut self, title: &str, lines: &[String]);
    /// One second went by.
    fn moment(&mut self, moment: &Moment);
    /// Something happened.
    fn event(&mut self, seconds: f64, text: &str);
    /// Pictures, below a heading.
    fn pictures(&mut self, heading: &str, tiles: &[Tile]);
    /// Something to read.
    fn text(&mut self, lines: &[String]);
}

/// One metric, as a line of a timeline shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub name: &'static str,
    /// In percentage points: canary less control, or for the answers of a model
    /// the canary's own rate.
    pub value: Option<f64>,
    pub interval: Option<(f64, f64)>,
    pub harmed: bool,
    /// None for a metric that only rolls back.
    pub within_margin: Option<bool>,
}
