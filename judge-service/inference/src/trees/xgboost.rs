//! Reads XGBoost's JSON model.
//! <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>
//!
//! XGBoost compares in float32: `x < threshold` goes left, a missing value the
//! way that `default_left` says, and a member of a category's set goes right.

use serde::Deserialize;
use serde_json::Value;

use super::forest::{Forest, Raw, Split, Test};
use super::objective::Link;
use super::{Sums, Trees, TreesError, rounds, unsupported};

const FORMAT: &str = "XGBoost JSON";

/// 65536 outputs and as many features: more than any tabular model has.
const MAX_WIDTH: usize = 65_536;

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: serde_json::Map<String, Value>,
    gradient_booster: Booster,
    learner_model_param: Parameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    gbtree_model_param: ModelParameters,
    tree_info: Vec<usize>,
    trees: Vec<Tree>,
    iteration_indptr: Option<Vec<usize>>,
    cats: Option<Categories>,
}

/// Values of data frames' categories, since 3.1.
#[derive(Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Vec<Value>,
}

#[derive(Deserialize)]
struct ModelParameters {
    num_parallel_tree: Option<String>,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_class: Option<String>,
    num_feature: String,
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    tree_param: Option<TreeParameters>,
}

#[derive(Deserialize)]
struct TreeParameters {
    size_leaf_vector: Option<String>,
}

/// Written as `true` by older versions and as `1` by newer ones.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(flag) => Ok(Self(flag)),
            Value::Number(number) => Ok(Self(number.as_u64() != Some(0))),
            _ => Err(serde::de::Error::custom("expected a boolean, or 0 or 1")),
        }
    }
}

pub(super) fn read(bytes: &[u8], iterations: Option<usize>) -> Result<Trees, TreesError> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            TreesError::Truncated(format!("its JSON ends too early, {error}"))
        } else if bytes.first() == Some(&b'{') && bytes.get(1).is_some_and(u8::is_ascii_uppercase) {
            wrong("it is UBJSON; save it as JSON, with save_model(\"model.json\")")
        } else {
            wrong(error.to_string())
        }
    })?;
    let learner = file.learner;
    let booster = learner.gradient_booster;
    let model = match (booster.name.as_str(), booster.model) {
        ("gbtree", Some(model)) => model,
        ("gbtree", None) => return Err(wrong("gradient_booster has no `model`")),
        (name, _) => {
            return Err(unsupported(format!("booster `{name}`"), "must be `gbtree`"));
        }
    };
    if model.cats.as_ref().is_some_and(|cats| !cats.enc.is_empty()) {
        return Err(unsupported(
            "categories of a data frame",
            "train on numbers, so that what is sent is what the trees see",
        ));
    }
    let parameters = &learner.learner_model_param;
    let width = count("num_feature", Some(&parameters.num_feature), 0)?;
    let classes = count("num_class", parameters.num_class.as_ref(), 0)?;
    let targets = count("num_target", parameters.num_target.as_ref(), 1)?;
    let groups = classes.max(targets).max(1);
    if width == 0 || width > MAX_WIDTH || groups > MAX_WIDTH {
        return Err(wrong(format!(
            "it has {width} features and {groups} outputs; both must be 1 to {MAX_WIDTH}"
        )));
    }
    let link = link(&learner.objective.name)?;
    let base = base(&parameters.base_score, &learner.objective.name, groups)?;
    let parallel = count(
        "num_parallel_tree",
        model.gbtree_model_param.num_parallel_tree.as_ref(),
        1,
    )?;
    let ends = round_ends(&model, groups * parallel.max(1))?;
    let best = learner
        .attributes
        .get("best_iteration")
        .and_then(Value::as_str);
    let wanted = iterations_to_run(iterations, best, ends.len())?;
    let mut forest = Forest::new(width, groups);
    if model.tree_info.len() != model.trees.len() {
        return Err(wrong("tree_info and trees must have the same length"));
    }
    for (tree, (raw, &group)) in model.trees.iter().zip(&model.tree_info).enumerate() {
        let wrong = |reason: String| TreesError::Tree { tree, reason };
        let nodes = nodes(raw).map_err(wrong)?;
        forest.add(group, &nodes).map_err(wrong)?;
    }
    let trees = wanted
        .checked_sub(1)
        .and_then(|last| ends.get(last))
        .copied();
    forest.keep(trees.unwrap_or(0));
    Ok(Trees {
        width,
        groups,
        link,
        sums: Sums::Single { forest, base },
    })
}

fn wrong(reason: impl Into<String>) -> TreesError {
    TreesError::Format {
        format: FORMAT,
        reason: reason.into(),
    }
}

fn count(field: &str, text: Option<&String>, default: usize) -> Result<usize, TreesError> {
    text.map_or(Ok(default), |text| {
        text.parse()
            .map_err(|_| wrong(format!("{field} is `{text}`, but must be a count")))
    })
}

/// Where the trees of each boosting round end.
fn round_ends(model: &Model, per_round: usize) -> Result<Vec<usize>, TreesError> {
    let trees = model.trees.len();
    let ends = match &model.iteration_indptr {
        Some(starts) => starts.iter().skip(1).copied().collect(),
        None => (1..=trees / per_round)
            .map(|round| round * per_round)
            .collect::<Vec<_>>(),
    };
    if !ends.is_sorted() || ends.last().copied().unwrap_or(0) != trees {
        return Err(wrong(format!(
            "its rounds do not end with its {trees} trees"
        )));
    }
    Ok(ends)
}

/// scikit-learn's interface stops at the best iteration, `Booster.predict` does
/// not: where that makes a difference the description has to say.
fn iterations_to_run(
    wanted: Option<usize>,
    best: Option<&str>,
    all: usize,
) -> Result<usize, TreesError> {
    let best = best.and_then(|text| text.parse::<usize>().ok());
    if let (None, Some(best)) = (wanted, best)
        && best + 1 < all
    {
        return Err(unsupported(
            format!("best_iteration {best} of {all} iterations"),
            format!(
                "say `iterations` in the description: {} as scikit-learn's interface predicts, or {all} as Booster.predict does",
                best + 1
            ),
        ));
    }
    rounds(wanted, all)
}

fn link(objective: &str) -> Result<Link, TreesError> {
    Ok(match objective {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "binary:logitraw"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => Link::Identity,
        "binary:logistic" | "reg:logistic" => Link::Logistic { slope: 1.0 },
        // `softmax` differs from `softprob` only in that the library then answers
        // with the label, which is the largest probability's.
        "multi:softprob" | "multi:softmax" => Link::Softmax,
        "count:poisson" | "reg:gamma" | "reg:tweedie" => Link::Exp,
        other => {
            return Err(unsupported(
                format!("objective `{other}`"),
                "must be one of reg:squarederror, reg:squaredlogerror, reg:pseudohubererror, reg:absoluteerror, reg:quantileerror, reg:logistic, reg:gamma, reg:tweedie, binary:logistic, binary:logitraw, multi:softprob, multi:softmax, count:poisson, rank:pairwise, rank:ndcg, rank:map",
            ));
        }
    })
}

/// The start of each sum. The file has it as an output (`[5E-1]` since 3.1, for
/// each output; `5E-1` before): the inverse of the link, in float32.
fn base(text: &str, objective: &str, groups: usize) -> Result<Vec<f32>, TreesError> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores: Result<Vec<f32>, _> = inner.split(',').map(|score| score.trim().parse()).collect();
    let bad = |right: &str| wrong(format!("base_score is `{text}`, but must be {right}"));
    let scores = scores.map_err(|_| bad("a number, or one for each output"))?;
    let to_sum = |score: f32| match objective {
        "binary:logistic" | "reg:logistic" | "binary:logitraw" => -(1.0 / score - 1.0).ln(),
        "count:poisson" | "reg:gamma" | "reg:tweedie" => score.ln(),
        _ => score,
    };
    let sums: Vec<f32> = scores.into_iter().map(to_sum).collect();
    if !sums.iter().all(|sum| sum.is_finite()) {
        return Err(bad("within the objective's range"));
    }
    match sums.as_slice() {
        [one] => Ok(vec![*one; groups]),
        sums if sums.len() == groups => Ok(sums.to_vec()),
        _ => Err(bad(&format!("one number, or {groups}"))),
    }
}

fn nodes(tree: &Tree) -> Result<Vec<Raw<f32>>, String> {
    let vector = tree
        .tree_param
        .as_ref()
        .and_then(|parameters| parameters.size_leaf_vector.as_deref());
    if !matches!(vector, None | Some("0" | "1")) {
        return Err("has several outputs in a leaf, which is not supported: train with multi_strategy=one_output_per_tree".to_owned());
    }
    let count = tree.left_children.len();
    let lengths = [
        tree.right_children.len(),
        tree.split_indices.len(),
        tree.split_conditions.len(),
        tree.default_left.len(),
    ];
    if lengths.iter().any(|length| *length != count) {
        return Err(format!(
            "has arrays of {count} and {lengths:?} nodes, which must be equal"
        ));
    }
    let children = tree.left_children.iter().zip(&tree.right_children);
    let splits = tree.split_indices.iter().zip(&tree.split_conditions);
    let splits = splits.zip(&tree.default_left);
    let mut nodes = Vec::with_capacity(count);
    for (at, ((&left, &right), ((&feature, &number), default_left))) in
        children.zip(splits).enumerate()
    {
        if left == -1 {
            nodes.push(Raw::Leaf(number));
            continue;
        }
        let child = |child: i64| {
            usize::try_from(child)
                .map_err(|_| format!("names node {child} as a child of node {at}"))
        };
        let test = match tree.split_type.get(at) {
            None | Some(0) => Test::Number,
            Some(1) => Test::Category {
                members: members(tree, at)?,
                members_right: true,
            },
            Some(kind) => {
                return Err(format!(
                    "has split type {kind} at node {at}, but only 0 and 1 are known"
                ));
            }
        };
        nodes.push(Raw::Split(Split {
            feature,
            threshold: number,
            missing_right: !default_left.0,
            left: child(left)?,
            right: child(right)?,
            test,
        }));
    }
    Ok(nodes)
}

/// The categories of a node as bits.
fn members(tree: &Tree, node: usize) -> Result<Vec<u32>, String> {
    // XGBoost keeps a category in a float32: 2^24 are exact.
    const MAX_CATEGORY: u32 = 1 << 24;
    let bad = || format!("has no categories for node {node}");
    let at = tree
        .categories_nodes
        .iter()
        .position(|&known| known == node)
        .ok_or_else(bad)?;
    let start = *tree.categories_segments.get(at).ok_or_else(bad)?;
    let size = *tree.categories_sizes.get(at).ok_or_else(bad)?;
    let end = start.checked_add(size).ok_or_else(bad)?;
    let categories = tree.categories.get(start..end).ok_or_else(bad)?;
    let mut members = Vec::new();
    for &category in categories {
        if category >= MAX_CATEGORY {
            return Err(format!(
                "has category {category} at node {node}, but categories are below {MAX_CATEGORY}"
            ));
        }
        let word = category as usize / 32;
        if members.len() <= word {
            members.resize(word + 1, 0);
        }
        if let Some(bits) = members.get_mut(word) {
            *bits |= 1_u32 << (category % 32);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
