//! Two rollouts line by line.

use crate::failure::Failure;
use crate::output::{is_coloured, yaml};
use serde_json::Value;
use similar::TextDiff;

/// Lines around a change that are shown too.
const AROUND: usize = 3;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// A unified diff of both as YAML; nothing at all is an empty file.
///
/// # Errors
/// What YAML cannot say.
pub fn difference(
    old_name: &str,
    old: &Value,
    new_name: &str,
    new: &Value,
) -> Result<String, Failure> {
    let text = |value: &Value| match value {
        Value::Null => Ok(String::new()),
        value => yaml(value),
    };
    let (old, new) = (text(old)?, text(new)?);
    let diff = TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(AROUND)
        .header(old_name, new_name)
        .to_string();
    Ok(if is_coloured() { coloured(&diff) } else { diff })
}

fn coloured(diff: &str) -> String {
    let mut text = String::new();
    for line in diff.lines() {
        let colour = match line.as_bytes().first() {
            Some(b'-') => RED,
            Some(b'+') => GREEN,
            Some(b'@') => FAINT,
            _ => "",
        };
        let end = if colour.is_empty() { "" } else { PLAIN };
        text.push_str(&format!("{colour}{line}{end}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_line_among_others() {
        let old = json!({"id": "a", "holdback_percent": 0.0, "steps": [{"weights": {"b": 10.0}}]});
        let mut new = old.clone();
        new["steps"][0]["weights"]["b"] = json!(20.0);
        let text = difference("a", &old, "a.yaml", &new).unwrap();
        assert!(text.starts_with("--- a\n+++ a.yaml\n@@ "), "{text}");
        assert!(text.contains("b: 10.0\n+"), "{text}");
        assert!(text.contains("b: 20.0\n"), "{text}");
        let whole = difference("none", &Value::Null, "a", &old).unwrap();
        assert!(
            whole.lines().skip(3).all(|line| line.starts_with('+')),
            "{whole}"
        );
    }

    #[test]
    fn colours_stand_around_lines() {
        assert_eq!(
            coloured("-a\n b\n+c\n"),
            "\x1b[31m-a\x1b[0m\n b\n\x1b[32m+c\x1b[0m\n"
        );
    }
}
