//! A document without the fields that do not fit, so that the others are looked at too.

use serinus_core::json::Tree;

/// Takes out what stands at a path, such as `arms[1].name`; of a list's element the whole
/// list, so that the others are still where they are said to be; and what would be empty
/// without it, which would be wrong in another way. Returns what was taken out.
pub fn take_out(tree: &mut Tree, path: &str) -> Option<String> {
    let rest = within(tree, path)?;
    Some(path.strip_suffix(rest).unwrap_or(path).to_owned())
}

/// The part of the path that was not needed.
fn within<'p>(tree: &mut Tree, path: &'p str) -> Option<&'p str> {
    let Tree::Object(fields) = tree else {
        return None;
    };
    // Names may have dots and brackets in them: the longest that fits is meant.
    let (index, rest) = fields
        .iter()
        .enumerate()
        .filter_map(|(index, (name, _))| {
            let rest = path.strip_prefix(name.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some((index, rest))
        })
        .min_by_key(|(_, rest)| rest.len())?;
    let (_, value) = fields.get_mut(index)?;
    match further(value, rest) {
        Some(left) if !is_empty(value) => Some(left),
        _ => {
            fields.remove(index);
            Some(rest)
        }
    }
}

/// `None` where the value itself is to go.
fn further<'p>(value: &mut Tree, rest: &'p str) -> Option<&'p str> {
    if let Some(below) = rest.strip_prefix('.') {
        return within(value, below);
    }
    let (index, rest) = rest.strip_prefix('[')?.split_once(']')?;
    match value {
        Tree::List(elements) => {
            let element = elements.get_mut(index.parse::<usize>().ok()?)?;
            further(element, rest).filter(|_| !is_empty(element))
        }
        _ => None,
    }
}

fn is_empty(value: &Tree) -> bool {
    matches!(value, Tree::Object(fields) if fields.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_core::json;

    #[test]
    fn what_stands_at_a_path_is_taken_out() {
        for (document, path, taken, left) in [
            (r#"{"a": 1, "b": 2}"#, "a", Some("a"), r#"{"b": 2}"#),
            (
                r#"{"a": [{"b": 1}, {"b": 2, "c": 3}]}"#,
                "a[1].b",
                Some("a[1].b"),
                r#"{"a": [{"b": 1}, {"c": 3}]}"#,
            ),
            (r#"{"a": [1, 2]}"#, "a[1]", Some("a"), "{}"),
            (r#"{"a": [[1], 2]}"#, "a[0][0]", Some("a"), "{}"),
            (r#"{"a": {"b": 1}}"#, "a.c", Some("a"), "{}"),
            (
                r#"{"a": {"b": {"c": 1}}, "d": 2}"#,
                "a.b.c",
                Some("a"),
                r#"{"d": 2}"#,
            ),
            (r#"{"a": [{"b": 1}, 2]}"#, "a[0].b", Some("a"), "{}"),
            (r#"{"a": 1}"#, "b", None, r#"{"a": 1}"#),
            (r#"{"a": 1}"#, ".", None, r#"{"a": 1}"#),
            ("[1]", "[0]", None, "[1]"),
            (
                r#"{"a": {"b.c": 1, "b": {"c": 2}}}"#,
                "a.b.c",
                Some("a.b.c"),
                r#"{"a": {"b": {"c": 2}}}"#,
            ),
            (r#"{"a": 1, "a": 2}"#, "a", Some("a"), r#"{"a": 2}"#),
        ] {
            let mut tree = json::tree(document.as_bytes()).unwrap();
            assert_eq!(take_out(&mut tree, path).as_deref(), taken, "{document}");
            assert_eq!(tree, json::tree(left.as_bytes()).unwrap(), "{document}");
        }
    }
}
