//! The attributes of a node. Every attribute has to be asked for: one that nobody
//! asked for would change the meaning, and is refused by its name.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::message::{Attribute, Node, TensorData};

pub(super) struct Attributes<'a> {
    node: &'a Node,
    asked: RefCell<BTreeSet<&'static str>>,
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self {
            node,
            asked: RefCell::default(),
        }
    }

    fn find(&self, name: &'static str) -> Option<&'a Attribute> {
        self.asked.borrow_mut().insert(name);
        let mut attributes = self.node.attribute.iter();
        attributes.find(|attribute| attribute.name.as_deref() == Some(name))
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> i64 {
        self.maybe_int(name).unwrap_or(default)
    }

    pub(super) fn maybe_int(&self, name: &'static str) -> Option<i64> {
        self.find(name)
            .map(|attribute| attribute.i.unwrap_or_default())
    }

    pub(super) fn flag(&self, name: &'static str, default: bool) -> bool {
        self.int(name, i64::from(default)) != 0
    }

    pub(super) fn float(&self, name: &'static str, default: f32) -> f32 {
        self.maybe_float(name).unwrap_or(default)
    }

    pub(super) fn maybe_float(&self, name: &'static str) -> Option<f32> {
        self.find(name)
            .map(|attribute| attribute.f.unwrap_or_default())
    }

    pub(super) fn floats(&self, name: &'static str) -> Option<Vec<f32>> {
        self.find(name).map(|attribute| attribute.floats.clone())
    }

    pub(super) fn ints(&self, name: &'static str) -> Option<Vec<i64>> {
        self.find(name).map(|attribute| attribute.ints.clone())
    }

    /// Sizes: none may be negative.
    pub(super) fn sizes(&self, name: &'static str) -> Result<Option<Vec<usize>>, String> {
        let Some(ints) = self.ints(name) else {
            return Ok(None);
        };
        let sizes: Option<Vec<usize>> = ints.iter().map(|int| usize::try_from(*int).ok()).collect();
        sizes
            .map(Some)
            .ok_or_else(|| format!("has {name} {ints:?}, which must not be negative"))
    }

    pub(super) fn text(&self, name: &'static str, default: &'static str) -> String {
        let text = self.find(name).and_then(|attribute| attribute.s.as_deref());
        text.map_or_else(
            || default.to_owned(),
            |text| String::from_utf8_lossy(text).into_owned(),
        )
    }

    pub(super) fn tensor(&self, name: &'static str) -> Option<&'a TensorData> {
        self.find(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// # Errors
    /// An attribute that is not what this reader does.
    pub(super) fn only<T: PartialEq + std::fmt::Debug>(
        name: &str,
        found: T,
        right: T,
    ) -> Result<(), String> {
        if found == right {
            return Ok(());
        }
        Err(format!(
            "has {name} {found:?}, which is not supported: it must be {right:?}"
        ))
    }

    /// # Errors
    /// An attribute that nobody asked for.
    pub(super) fn finish(self) -> Result<(), String> {
        let asked = self.asked.borrow();
        let mut names = self
            .node
            .attribute
            .iter()
            .map(|attribute| attribute.name.as_deref().unwrap_or_default());
        match names.find(|name| !asked.contains(name)) {
            Some(name) => Err(format!("has attribute `{name}`, which is not supported")),
            None => Ok(()),
        }
    }
}
