//! Decision trees as flat arrays, evaluated for blocks of rows.
//!
//! Both libraries' trees become one form. A split sends a row right when
//! `x >= threshold`: XGBoost's `x < t` goes left is that already, LightGBM's
//! `x <= t` goes left is it with the next larger double. A leaf is a split whose
//! threshold is NaN and whose left child is itself, so that every row of a block
//! takes the same number of steps and no step is a branch to be guessed.
//!
//! Everything is checked when a tree is added, so no input can leave the arrays.

use super::number::Number;

/// Rows that walk together: enough to hide the latency of a load.
const LANES: usize = 8;

/// Steps between two looks at whether all rows have arrived.
const STRIDE: u32 = 4;

/// The lower 31 bits of [`Node::feature`]; the upper bit sends missing right.
const FEATURE: u32 = u32::MAX >> 1;

/// LightGBM grows by leaves, so its trees can be deep; no sensible one is this deep.
pub(super) const MAX_DEPTH: u32 = 4_096;

/// 16 million: 192 MiB of nodes.
const MAX_NODES: usize = 16 * 1024 * 1024;

/// Trees of one model, all over the same `width` features.
#[derive(Debug)]
pub(super) struct Forest<T> {
    width: usize,
    groups: usize,
    trees: Vec<Tree>,
    nodes: Vec<Node<T>>,
    /// By node; a split has a zero.
    values: Vec<T>,
    /// By node, as soon as one split of the forest is special; else empty.
    special: Vec<Special>,
    sets: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Tree {
    root: u32,
    depth: u32,
    group: usize,
    special: bool,
}

#[derive(Debug, Clone, Copy)]
struct Node<T> {
    threshold: T,
    feature: u32,
    /// The right child is the one after it.
    left: u32,
}

/// A node as a file has it, with its children by their place in the tree.
#[derive(Debug, Clone)]
pub(super) enum Raw<T> {
    Leaf(T),
    Split(Split<T>),
}

#[derive(Debug, Clone)]
pub(super) struct Split<T> {
    pub(super) feature: usize,
    /// Rows with `x >= threshold` go right.
    pub(super) threshold: T,
    pub(super) missing_right: bool,
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) test: Test,
}

/// How a split looks at its feature.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Number,
    /// A zero is missing as well.
    ZeroIsMissing,
    /// Whole numbers as bits of words; members go right or left, the others,
    /// and what is no category, the other way. Missing goes as the split says.
    Category {
        members: Vec<u32>,
        members_right: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Special {
    None,
    ZeroIsMissing,
    Category { set: usize, members_right: bool },
}

// === impl Forest ===

impl<T: Number> Forest<T> {
    pub(super) fn new(width: usize, groups: usize) -> Self {
        Self {
            width,
            groups,
            trees: Vec::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            special: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Adds a tree whose root is its first node, for one output group.
    ///
    /// # Errors
    /// What is wrong with the tree, in words that name the node.
    pub(super) fn add(&mut self, group: usize, tree: &[Raw<T>]) -> Result<(), String> {
        if group >= self.groups {
            return Err(format!(
                "is for output {group}, but there are {}",
                self.groups
            ));
        }
        if self.nodes.len() + tree.len() > MAX_NODES {
            return Err(format!("is beyond the limit of {MAX_NODES} nodes"));
        }
        let root = self.nodes.len();
        let mut seen = vec![false; tree.len()];
        let mut depth = 0_u32;
        let mut special = false;
        // By levels; (place in the file, place in the arrays).
        let mut level = vec![(0_usize, root)];
        self.grow(1);
        while !level.is_empty() {
            let mut next = Vec::new();
            for (from, to) in level {
                let node = tree
                    .get(from)
                    .ok_or_else(|| format!("names node {from}, but has {} nodes", tree.len()))?;
                match seen.get_mut(from) {
                    Some(seen) if !*seen => *seen = true,
                    _ => return Err(format!("reaches node {from} by two ways")),
                }
                match node {
                    Raw::Leaf(value) => self.put_leaf(from, to, *value)?,
                    Raw::Split(split) => {
                        let left = self.nodes.len();
                        self.grow(2);
                        self.put_split(from, to, split, left)?;
                        special |= !matches!(split.test, Test::Number);
                        next.push((split.left, left));
                        next.push((split.right, left + 1));
                    }
                }
            }
            if !next.is_empty() {
                depth += 1;
            }
            if depth > MAX_DEPTH {
                return Err(format!("is deeper than {MAX_DEPTH} splits"));
            }
            level = next;
        }
        self.trees.push(Tree {
            root: root as u32,
            depth,
            group,
            special,
        });
        Ok(())
    }

    fn grow(&mut self, count: usize) {
        let blank = Node {
            threshold: T::NAN,
            feature: 0,
            left: 0,
        };
        self.nodes.resize(self.nodes.len() + count, blank);
        self.values.resize(self.nodes.len(), T::ZERO);
        if !self.special.is_empty() {
            self.special.resize(self.nodes.len(), Special::None);
        }
    }

    fn put_leaf(&mut self, from: usize, to: usize, leaf: T) -> Result<(), String> {
        if !leaf.wide().is_finite() {
            return Err(format!("has a leaf without a finite value at node {from}"));
        }
        if let (Some(node), Some(value)) = (self.nodes.get_mut(to), self.values.get_mut(to)) {
            node.left = to as u32;
            *value = leaf;
        }
        Ok(())
    }

    fn put_split(
        &mut self,
        from: usize,
        to: usize,
        split: &Split<T>,
        left: usize,
    ) -> Result<(), String> {
        if split.feature >= self.width {
            return Err(format!(
                "tests feature {} at node {from}, but the model has {} features",
                split.feature, self.width
            ));
        }
        let numeric = !matches!(split.test, Test::Category { .. });
        if numeric && split.threshold.wide().is_nan() {
            return Err(format!("has a threshold that is NaN at node {from}"));
        }
        let missing = if split.missing_right { !FEATURE } else { 0 };
        if let Some(node) = self.nodes.get_mut(to) {
            *node = Node {
                threshold: split.threshold,
                feature: split.feature as u32 | missing,
                left: left as u32,
            };
        }
        let special = match &split.test {
            Test::Number => return Ok(()),
            Test::ZeroIsMissing => Special::ZeroIsMissing,
            Test::Category {
                members,
                members_right,
            } => {
                self.sets.push(members.clone());
                Special::Category {
                    set: self.sets.len() - 1,
                    members_right: *members_right,
                }
            }
        };
        self.special.resize(self.nodes.len(), Special::None);
        if let Some(slot) = self.special.get_mut(to) {
            *slot = special;
        }
        Ok(())
    }

    /// The trees that count: those after the first `count` are dropped.
    pub(super) fn keep(&mut self, count: usize) {
        self.trees.truncate(count);
    }

    /// Adds the leaves of `count` rows, row-major [count, width], to sums
    /// [count, groups], tree by tree as the libraries do.
    pub(super) fn add_sums(&self, rows: &[T], sums: &mut [T]) {
        let blocks = rows.chunks(LANES * self.width.max(1));
        let columns: Vec<Vec<[T; LANES]>> = blocks.map(|rows| self.columns(rows)).collect();
        for tree in &self.trees {
            let outputs = sums.chunks_mut(LANES * self.groups.max(1));
            for (block, sums) in columns.iter().zip(outputs) {
                let leaves = if tree.special {
                    self.walk(tree, |at, lane| self.step_special(at, block, lane))
                } else {
                    self.walk(tree, |at, lane| self.step(at, block, lane))
                };
                let sums = sums.iter_mut().skip(tree.group).step_by(self.groups);
                for (sum, leaf) in sums.zip(leaves) {
                    *sum = *sum + self.values.get(leaf as usize).copied().unwrap_or(T::NAN);
                }
            }
        }
    }

    /// Up to eight rows by column; rows that are not there are zero.
    fn columns(&self, rows: &[T]) -> Vec<[T; LANES]> {
        let mut columns = vec![[T::ZERO; LANES]; self.width];
        for (lane, row) in rows.chunks(self.width.max(1)).enumerate() {
            for (column, number) in columns.iter_mut().zip(row) {
                if let Some(slot) = column.get_mut(lane) {
                    *slot = *number;
                }
            }
        }
        columns
    }

    #[inline(always)]
    fn walk(&self, tree: &Tree, step: impl Fn(u32, usize) -> u32) -> [u32; LANES] {
        let mut at = [tree.root; LANES];
        let mut left = tree.depth;
        while left > 0 {
            let before = at;
            let stride = left.min(STRIDE);
            for _ in 0..stride {
                for (lane, at) in at.iter_mut().enumerate() {
                    *at = step(*at, lane);
                }
            }
            if at == before {
                break;
            }
            left -= stride;
        }
        at
    }

    #[inline(always)]
    fn step(&self, at: u32, block: &[[T; LANES]], lane: usize) -> u32 {
        let Some(node) = self.nodes.get(at as usize) else {
            return at;
        };
        let column = block.get((node.feature & FEATURE) as usize);
        let Some(&x) = column.and_then(|column| column.get(lane)) else {
            return at;
        };
        node.left + u32::from(node.right(x))
    }

    fn step_special(&self, at: u32, block: &[[T; LANES]], lane: usize) -> u32 {
        let Some(node) = self.nodes.get(at as usize) else {
            return at;
        };
        let column = block.get((node.feature & FEATURE) as usize);
        let Some(&x) = column.and_then(|column| column.get(lane)) else {
            return at;
        };
        let right = match self.special.get(at as usize) {
            None | Some(Special::None) => node.right(x),
            Some(Special::ZeroIsMissing) if x.is_near_zero() => node.feature > FEATURE,
            Some(Special::ZeroIsMissing) => node.right(x),
            Some(Special::Category { .. }) if x.wide().is_nan() => node.feature > FEATURE,
            Some(Special::Category { set, members_right }) => {
                let set = self.sets.get(*set).map_or(&[][..], Vec::as_slice);
                // XGBoost takes what is below zero for no category; LightGBM cuts
                // towards zero, so -0.5 is its category 0.
                let category = !*members_right || x.wide() >= 0.0;
                (category && is_member(set, x.wide())) == *members_right
            }
        };
        node.left + u32::from(right)
    }
}

impl<T: Number> Node<T> {
    /// Not for a leaf with a category's test; a leaf's NaN never sends right,
    /// and its missing bit is clear.
    #[inline(always)]
    fn right(&self, x: T) -> bool {
        (x >= self.threshold) | (x.is_nan() & (self.feature > FEATURE))
    }
}

/// Whether the whole part of a number is in a set of bits.
fn is_member(set: &[u32], x: f64) -> bool {
    let whole = x.trunc();
    if !(0.0..4_294_967_296.0).contains(&whole) {
        return false;
    }
    let category = whole as u64;
    let word = usize::try_from(category / 32)
        .ok()
        .and_then(|at| set.get(at));
    word.is_some_and(|word| word >> (category % 32) & 1 == 1)
}

#[cfg(test)]
mod tests;
