//! Reads LightGBM's text model, versions v3 and v4.
//! Source of the format and its meaning: `src/io/tree.cpp`, `include/LightGBM/tree.h`
//! and `src/boosting/gbdt_model_text.cpp` of LightGBM 4.
//!
//! LightGBM compares in float64: `x <= threshold` goes left. What is missing is
//! said by each split: nothing (NaN is then zero), zero, or NaN.

use std::collections::HashMap;
use std::str::FromStr;

use super::forest::{Forest, Raw, Split, Test};
use super::objective::Link;
use super::{Sums, Trees, TreesError, rounds, unsupported};

const FORMAT: &str = "LightGBM text";

/// As for XGBoost.
const MAX_WIDTH: usize = 65_536;

/// `key=value` lines of one section.
type Section<'a> = HashMap<&'a str, &'a str>;

pub(super) fn read(bytes: &[u8], iterations: Option<usize>) -> Result<Trees, TreesError> {
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
    let (body, rest) = match text.split_once("\nend of trees") {
        Some(parts) => parts,
        None if text.starts_with("tree") => {
            return Err(TreesError::Truncated(
                "it has no line `end of trees`".to_owned(),
            ));
        }
        None => {
            return Err(wrong(
                "its first line must be `tree`, as save_model(\"model.txt\") writes",
            ));
        }
    };
    if !rest.contains("\nend of parameters") {
        return Err(TreesError::Truncated(
            "it has no line `end of parameters`".to_owned(),
        ));
    }
    check_categories(rest)?;
    let mut parts = body.split("\nTree=");
    let head = parts.next().unwrap_or_default();
    let first = head.lines().next().unwrap_or_default();
    if first.trim() != "tree" {
        return Err(wrong("its first line must be `tree`"));
    }
    let is_average = head.lines().any(|line| line.trim() == "average_output");
    let head = section(head);
    match get(&head, "version")? {
        "v3" | "v4" => {}
        other => {
            return Err(unsupported(
                format!("version `{other}`"),
                "must be v3 or v4",
            ));
        }
    }
    let width = number::<usize>(&head, "max_feature_idx")?.saturating_add(1);
    let groups = number::<usize>(&head, "num_tree_per_iteration")?;
    if width > MAX_WIDTH || groups == 0 || groups > MAX_WIDTH {
        return Err(wrong(format!(
            "it has {width} features and {groups} outputs; both must be 1 to {MAX_WIDTH}"
        )));
    }
    let link = link(head.get("objective").copied().unwrap_or_default())?;
    let mut forest = Forest::new(width, groups);
    let mut count = 0;
    for (tree, part) in parts.enumerate() {
        let wrong = |reason: String| TreesError::Tree { tree, reason };
        let nodes = nodes(&section(part)).map_err(wrong)?;
        forest.add(tree % groups, &nodes).map_err(wrong)?;
        count += 1;
    }
    let announced = head
        .get("tree_sizes")
        .map_or(0, |sizes| sizes.split_whitespace().count());
    if count != announced || count % groups != 0 {
        return Err(TreesError::Truncated(format!(
            "its head announces {announced} trees for {groups} outputs, but it has {count}"
        )));
    }
    let wanted = rounds(iterations, count / groups)?;
    forest.keep(wanted * groups);
    Ok(Trees {
        width,
        groups,
        link,
        sums: Sums::Double {
            forest,
            divisor: if is_average {
                wanted.max(1) as f64
            } else {
                1.0
            },
        },
    })
}

fn wrong(reason: impl Into<String>) -> TreesError {
    TreesError::Format {
        format: FORMAT,
        reason: reason.into(),
    }
}

/// pandas' categories are recoded by LightGBM's Python package before the trees
/// see them, so what is sent is not what is compared.
fn check_categories(rest: &str) -> Result<(), TreesError> {
    let line = rest
        .lines()
        .find_map(|line| line.strip_prefix("pandas_categorical:"));
    match line.map(str::trim) {
        None | Some("null" | "[]") => Ok(()),
        Some(_) => Err(unsupported(
            "categories of a pandas data frame",
            "train on numbers, so that what is sent is what the trees see",
        )),
    }
}

fn section(text: &str) -> Section<'_> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .collect()
}

fn get<'a>(section: &Section<'a>, key: &str) -> Result<&'a str, TreesError> {
    section
        .get(key)
        .copied()
        .ok_or_else(|| wrong(format!("it has no `{key}`")))
}

fn number<N: FromStr>(section: &Section<'_>, key: &str) -> Result<N, TreesError> {
    let text = get(section, key)?;
    text.parse()
        .map_err(|_| wrong(format!("{key} is `{text}`, but must be a number")))
}

/// `objective=binary sigmoid:1`
fn link(objective: &str) -> Result<Link, TreesError> {
    let mut words = objective.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut slope = 1.0;
    let mut is_square_root = false;
    for word in words {
        if let Some(text) = word.strip_prefix("sigmoid:") {
            slope = text
                .parse()
                .map_err(|_| wrong(format!("objective has `{word}`, whose slope is no number")))?;
        }
        is_square_root |= word == "sqrt";
    }
    Ok(match name {
        _ if is_square_root => Link::SignedSquare,
        "binary" | "multiclassova" => Link::Logistic { slope },
        "cross_entropy" | "xentropy" => Link::Logistic { slope: 1.0 },
        "multiclass" => Link::Softmax,
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        "cross_entropy_lambda" | "xentlambda" => Link::LogOnePlusExp,
        // Without an objective the library returns the sums.
        "" | "custom" | "none" | "regression" | "regression_l1" | "huber" | "fair" | "quantile"
        | "mape" | "lambdarank" | "rank_xendcg" => Link::Identity,
        other => {
            return Err(unsupported(
                format!("objective `{other}`"),
                "must be one of regression, regression_l1, huber, fair, quantile, mape, poisson, gamma, tweedie, binary, multiclass, multiclassova, cross_entropy, cross_entropy_lambda, lambdarank, rank_xendcg",
            ));
        }
    })
}

fn nodes(tree: &Section<'_>) -> Result<Vec<Raw<f64>>, String> {
    if tree.get("is_linear").is_some_and(|linear| *linear != "0") {
        return Err(
            "has linear leaves, which are not supported: train with linear_tree=false".to_owned(),
        );
    }
    let leaves: Vec<f64> = list(tree, "leaf_value")?;
    let splits = leaves.len().checked_sub(1).ok_or("has no leaf_value")?;
    if list::<usize>(tree, "num_leaves")? != [leaves.len()] {
        return Err(format!(
            "has {} leaf values, which is not its num_leaves",
            leaves.len()
        ));
    }
    if splits == 0 {
        return Ok(vec![Raw::Leaf(leaves.first().copied().unwrap_or_default())]);
    }
    let features: Vec<usize> = list(tree, "split_feature")?;
    let thresholds: Vec<f64> = list(tree, "threshold")?;
    let kinds: Vec<u8> = list(tree, "decision_type")?;
    let lefts: Vec<i64> = list(tree, "left_child")?;
    let rights: Vec<i64> = list(tree, "right_child")?;
    let lengths = [
        features.len(),
        thresholds.len(),
        kinds.len(),
        lefts.len(),
        rights.len(),
    ];
    if lengths.iter().any(|length| *length != splits) {
        return Err(format!(
            "has {lengths:?} splits, but {splits} belong to its leaves"
        ));
    }
    // Splits first, then leaves: child `-1 - i` is leaf i.
    let child = |child: i64| {
        usize::try_from(child)
            .ok()
            .filter(|child| *child < splits)
            .or_else(|| {
                usize::try_from(-1 - child)
                    .ok()
                    .filter(|leaf| *leaf <= splits)
                    .map(|leaf| splits + leaf)
            })
            .ok_or_else(|| format!("names child {child}, which is neither split nor leaf"))
    };
    let mut nodes = Vec::with_capacity(splits + leaves.len());
    let children = lefts.iter().zip(&rights);
    for (((&feature, &threshold), &kind), (&left, &right)) in
        features.iter().zip(&thresholds).zip(&kinds).zip(children)
    {
        nodes.push(Raw::Split(split(
            tree,
            feature,
            threshold,
            kind,
            child(left)?,
            child(right)?,
        )?));
    }
    nodes.extend(leaves.into_iter().map(Raw::Leaf));
    Ok(nodes)
}

/// Bit 0 of a decision type is "categorical", bit 1 "missing goes left", bits 2
/// and 3 what is missing: nothing, zero or NaN.
fn split(
    tree: &Section<'_>,
    feature: usize,
    threshold: f64,
    kind: u8,
    left: usize,
    right: usize,
) -> Result<Split<f64>, String> {
    let default_right = kind & 2 == 0;
    if !threshold.is_finite() {
        return Err(format!("has threshold {threshold}, but it must be finite"));
    }
    let (missing_right, test) = match (kind & 1, kind >> 2) {
        // A missing category is in no set, and goes right with them.
        (1, _) => (
            true,
            Test::Category {
                members: members(tree, threshold)?,
                members_right: false,
            },
        ),
        (_, 0) => (threshold < 0.0, Test::Number),
        (_, 1) => (default_right, Test::ZeroIsMissing),
        (_, 2) => (default_right, Test::Number),
        _ => return Err(format!("has decision type {kind}, but 0 to 11 are known")),
    };
    Ok(Split {
        feature,
        // `x <= t` goes left, so the next double goes right.
        threshold: threshold.next_up(),
        missing_right,
        left,
        right,
        test,
    })
}

/// The words of a set of categories, whose number is the split's threshold.
fn members(tree: &Section<'_>, set: f64) -> Result<Vec<u32>, String> {
    let bad = || format!("has no categories for its set {set}");
    let ends: Vec<usize> = list(tree, "cat_boundaries")?;
    let words: Vec<u32> = list(tree, "cat_threshold")?;
    if !(0.0..1e9).contains(&set) || set.fract() != 0.0 {
        return Err(bad());
    }
    let at = set as usize;
    let start = *ends.get(at).ok_or_else(bad)?;
    let end = *ends.get(at + 1).ok_or_else(bad)?;
    words.get(start..end).map(<[u32]>::to_vec).ok_or_else(bad)
}

fn list<N: FromStr>(tree: &Section<'_>, key: &str) -> Result<Vec<N>, String> {
    let text = tree.get(key).ok_or_else(|| format!("has no `{key}`"))?;
    let parse = |word: &str| word.parse().map_err(|_| format!("has `{word}` in {key}"));
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests;
