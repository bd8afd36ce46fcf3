//! Documents that people write: YAML or JSON, one or several in a file.

use crate::failure::Failure;
use crate::files::read_or_stdin;
use serde::de::IgnoredAny;
use serde_json::Value;
use serinus_judge::domain::RolloutSpec;
use serinus_judge::domain::check::Unsound;
use serinus_judge::reading;
use std::path::Path;

/// One document as JSON, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// `rollout.yaml`, or `rollout.yaml, document 2`.
    place: String,
    json: String,
}

/// All documents of a file, or of standard input for `-`.
///
/// # Errors
/// A file that cannot be read, or that is neither YAML nor JSON, with line and column.
pub fn all(path: &Path) -> Result<Vec<Document>, Failure> {
    let bytes = read_or_stdin(path)?;
    let name = if path.as_os_str() == "-" {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let wrong = |problem: String| Failure::Failed(format!("{name}: {problem}"));
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| wrong(format!("is no UTF-8 at byte {}", error.valid_up_to())))?;
    let texts = parse(text).map_err(wrong)?;
    if texts.is_empty() {
        return Err(wrong("is empty; a rollout is right".to_owned()));
    }
    let several = texts.len() > 1;
    let documents = texts.into_iter().enumerate().map(|(index, json)| Document {
        place: match several {
            true => format!("{name}, document {}", index + 1),
            false => name.clone(),
        },
        json,
    });
    Ok(documents.collect())
}

/// The only document of a file.
///
/// # Errors
/// As for [`all`]; more than one.
pub fn one(path: &Path) -> Result<Document, Failure> {
    let mut documents = all(path)?;
    let count = documents.len();
    match documents.pop() {
        Some(document) if count == 1 => Ok(document),
        _ => Err(Failure::Failed(format!(
            "{} has {count} documents; one is right here",
            path.display()
        ))),
    }
}

/// What the reader of YAML says of its own options is nobody's business here.
fn in_our_words(said: &str) -> String {
    if said.contains("budget breached") {
        return "is too large, or nested too deep".to_owned();
    }
    said.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
        .replace("rejected by the configured policy", "is no number here")
}

/// Each document as JSON.
fn parse(text: &str) -> Result<Vec<String>, String> {
    // JSON is kept as it stands: the reader of the API sees what a parse here would hide,
    // such as a name that stands twice.
    let is_json = text.trim_start().starts_with('{');
    let as_json = is_json.then(|| json(text));
    match as_json {
        Some(Ok(documents)) => Ok(documents),
        // It may be YAML that begins so.
        Some(Err(problem)) => yaml(text).map_err(|_| problem),
        None => yaml(text),
    }
}

fn json(text: &str) -> Result<Vec<String>, String> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut documents, mut start) = (Vec::new(), 0);
    while let Some(read) = stream.next() {
        read.map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let said = error.to_string();
            let what = said.split(" at line ").next().unwrap_or_default();
            format!("line {line}, column {column}: {what}")
        })?;
        let end = stream.byte_offset();
        documents.extend(text.get(start..end).map(str::to_owned));
        start = end;
    }
    Ok(documents)
}

fn yaml(text: &str) -> Result<Vec<String>, String> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // As YAML 1.2 has it: `no` is a text, and so is a country.
        strict_booleans: true,
    };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            let error = error.without_snippet();
            let said = in_our_words(&error.to_string());
            match error.location() {
                None => said,
                Some(location) => {
                    let (line, column) = (location.line(), location.column());
                    let place = format!("line {line}, column {column}");
                    if said.contains(&format!("line {line}")) {
                        said
                    } else {
                        format!("{place}: {said}")
                    }
                }
            }
        })?;
    Ok(documents.iter().map(Value::to_string).collect())
}

// === impl Document ===

impl Document {
    /// One that was read before.
    pub fn of(place: &str, json: &str) -> Self {
        Self {
            place: place.to_owned(),
            json: json.to_owned(),
        }
    }

    pub fn json(&self) -> &str {
        &self.json
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    /// The rollout that it is.
    ///
    /// # Errors
    /// All that is wrong, as far as a document tells by itself.
    pub fn spec(&self) -> Result<RolloutSpec, Failure> {
        reading::spec(self.json.as_bytes()).map_err(|wrong| self.wrong(&wrong))
    }

    /// Errors of its fields, each by itself.
    pub fn wrong(&self, wrong: &Unsound) -> Failure {
        let lines: Vec<String> = wrong.all().map(ToString::to_string).collect();
        Failure::Failed(self.say(&lines.join("\n")))
    }

    /// What is wrong with it, each line with where it stands.
    pub fn say(&self, problem: &str) -> String {
        let lines = problem.lines();
        let lines: Vec<String> = lines
            .map(|line| format!("{}: {line}", self.place))
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_of_either_kind() {
        for text in [
            "id: a\n---\nid: b\n",
            "---\nid: a\n---\n---\nid: b\n...\n",
            "{\"id\": \"a\"}\n{\"id\": \"b\"}\n",
            "{id: a}\n--- {id: b}\n",
        ] {
            let parsed = parse(text).unwrap();
            let parsed: Vec<Value> = parsed
                .iter()
                .map(|json| serde_json::from_str(json).unwrap())
                .collect();
            let right = [
                serde_json::json!({"id": "a"}),
                serde_json::json!({"id": "b"}),
            ];
            assert_eq!(parsed, right, "{text}");
        }
        assert!(parse("").unwrap().is_empty());
        assert!(parse("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn json_stays_as_it_was_written() {
        let twice = r#"{"id": "a", "id": "b"}"#;
        assert_eq!(parse(twice).unwrap(), [twice]);
    }

    #[test]
    fn what_is_half_written_is_said_with_its_line() {
        for (text, line) in [
            ("id: a\nmatch: {path_prefix: /v2\nunit:\n", 3),
            ("id: a\n  b: c\n", 2),
            ("id: a\narms:\n- name: control\n name: canary\n", 4),
            ("id: 'a\n", 1),
            ("id: a\nid: b\n", 2),
            ("{\"id\": \"a\",\n \"match\": {\n", 3),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("line {line}")), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (this, before) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip('a'..) {
            let many = vec![format!("*{before}"); 9].join(",");
            text += &format!("{this}: &{this} [{many}]\n");
        }
        parse(&text).unwrap_err();
    }

    #[test]
    fn words_that_old_yaml_takes_for_truths_are_texts() {
        assert_eq!(
            parse("in: [no, NO, on, true]").unwrap(),
            [r#"{"in":["no","NO","on",true]}"#]
        );
    }

    #[test]
    fn a_slip_in_a_field_is_seen_with_its_place() {
        let document = Document::of(
            "a.yaml",
            r#"{"id": "a", "match": {}, "unit": [], "arms": [{"nam": "a"}]}"#,
        );
        let said = document.spec().unwrap_err().to_string();
        let right = "a.yaml: arms[0].nam: unknown field; did you mean `name`?";
        assert!(said.lines().any(|line| line == right), "{said}");
    }
}
