//! A JSON document and a pointer into it: the first line is the pointer.

use serde_json::Value;
use serinus_core::json::{Tree, number, written};

/// It reads what serde_json reads, and finds what serde_json's own pointer finds.
pub fn json(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let pointer = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let document = parts.next().unwrap_or_default();
    let tree = Tree::parse(document);
    let value = serde_json::from_slice::<Value>(document);
    assert_eq!(tree.is_ok(), value.is_ok());
    let (Ok(tree), Ok(value)) = (tree, value) else {
        assert_eq!(number(document), None);
        return;
    };
    let whole = tree.scalar();
    assert_eq!(whole, scalar(&value));
    if let Some(found) = number(document) {
        assert!(found.is_finite());
        assert_eq!(number(written(found).as_bytes()), Some(found));
    }
    let at = tree.at(&pointer);
    if let Some(scalar) = at.and_then(Tree::scalar)
        && at.is_some_and(|at| matches!(at, Tree::Number(_)))
    {
        assert!(number(&scalar).is_some(), "a number reads as one again");
    }
    // Of a name that stands there twice, serde_json keeps the last and we the first.
    if !has_twins(&tree) {
        let theirs = value.pointer(&pointer);
        assert_eq!(at.is_some(), theirs.is_some(), "{pointer}");
        assert_eq!(at.and_then(Tree::scalar), theirs.and_then(scalar));
    }
}

fn scalar(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Bool(truth) => Some(truth.to_string().into_bytes()),
        Value::Number(number) if number.is_f64() => {
            Some(written(number.as_f64().unwrap()).into_bytes())
        }
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn has_twins(tree: &Tree) -> bool {
    match tree {
        Tree::List(list) => list.iter().any(has_twins),
        Tree::Object(fields) => {
            let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let twins = names.windows(2).any(|pair| pair[0] == pair[1]);
            twins || fields.iter().any(|(_, value)| has_twins(value))
        }
        _ => false,
    }
}
