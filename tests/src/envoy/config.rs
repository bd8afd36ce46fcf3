//! The repository's Envoy configuration with a lab's ports and paths in it.

use crate::artefacts;
use crate::failure::{During, Result};
use std::fs;
use std::path::Path;

/// The loopback ports that Envoy sends to.
#[derive(Debug, Clone, Copy)]
pub struct Upstreams {
    pub control: u16,
    pub canary: u16,
    pub shadow: u16,
    pub judge: u16,
}

/// A text of `envoy/envoy.yaml` that stands there once, and what replaces it.
pub type Edit = (&'static str, &'static str);

/// `envoy/envoy.yaml` for these upstreams; its own listeners get free ports.
pub fn bootstrap(upstreams: Upstreams, filter: &Path, edits: &[Edit]) -> Result<String> {
    let port = |number: u16| format!("port_value: {number}");
    let ports_and_paths = [
        (port(9901), port(0)),
        (port(10000), port(0)),
        (port(8001), port(upstreams.control)),
        (port(8002), port(upstreams.canary)),
        (port(8003), port(upstreams.shadow)),
        (port(8090), port(upstreams.judge)),
        (
            "path: envoy/serinus.yaml".to_owned(),
            format!("path: {}", filter.display()),
        ),
    ];
    let edits = edits
        .iter()
        .map(|(old, new)| ((*old).to_owned(), (*new).to_owned()));
    let all: Vec<_> = ports_and_paths.into_iter().chain(edits).collect();
    replace_each("envoy/envoy.yaml", &all)
}

/// `envoy/serinus.yaml` for this module.
pub fn filter(wasm: &Path, disabled: bool) -> Result<String> {
    replace_each(
        "envoy/serinus.yaml",
        &[
            (
                "filename: target/wasm/serinus_filter.wasm".to_owned(),
                format!("filename: {}", wasm.display()),
            ),
            (
                // With its line's indent: the comment above has the words too.
                "  \"disabled\": false\n".to_owned(),
                format!("  \"disabled\": {disabled}\n"),
            ),
        ],
    )
}

/// Each text must stand there exactly once: a file that was changed without this
/// one fails here, and not later in some test.
fn replace_each(file: &str, replacements: &[(String, String)]) -> Result<String> {
    let mut text =
        fs::read_to_string(artefacts::root().join(file)).during(&format!("read {file}"))?;
    for (old, new) in replacements {
        let found = text.matches(old.as_str()).count();
        if found != 1 {
            return Err(format!("{file}: `{old}` stands there {found} times and not once").into());
        }
        text = text.replacen(old.as_str(), new, 1);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_are_found() {
        let upstreams = Upstreams {
            control: 1,
            canary: 2,
            shadow: 4,
            judge: 3,
        };
        let edit = ("stat_prefix: models", "stat_prefix: others");
        let text = bootstrap(upstreams, Path::new("/lab/serinus.yaml"), &[edit]).unwrap();
        assert!(text.contains(edit.1));
        assert!(text.contains("path: /lab/serinus.yaml"));
        for port in [1, 2, 3, 4].map(|port| format!("port_value: {port} ")) {
            assert_eq!(text.matches(&port).count(), 1, "{port}");
        }
        let text = filter(Path::new("/lab/filter.wasm"), true).unwrap();
        assert!(text.contains("filename: /lab/filter.wasm"));
        assert!(text.contains("\"disabled\": true"));
    }
}
