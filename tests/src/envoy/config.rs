//! The repository's Envoy configurations with a lab's ports and paths in them.

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

/// A text of a configuration that stands there once, and what replaces it.
pub type Edit = (&'static str, &'static str);

/// `envoy/envoy.yaml` for these upstreams; its own listeners get free ports.
pub fn bootstrap(upstreams: Upstreams, filter: &Path, edits: &[Edit]) -> Result<String> {
    let path = (
        "path: envoy/serinus.yaml".to_owned(),
        format!("path: {}", filter.display()),
    );
    let all: Vec<_> = ports(upstreams)
        .into_iter()
        .chain([path])
        .chain(owned(edits))
        .collect();
    replace_each("envoy/envoy.yaml", &all)
}

/// `envoy/ecds.yaml` in the same way: the judge has the filter.
pub fn ecds_bootstrap(upstreams: Upstreams, edits: &[Edit]) -> Result<String> {
    let all: Vec<_> = ports(upstreams).into_iter().chain(owned(edits)).collect();
    replace_each("envoy/ecds.yaml", &all)
}

/// A bootstrap configuration with another cluster `judge`, which is the last: as the file
/// says to do it, with what is replaced in it.
///
/// # Errors
/// When one of the texts does not stand there once.
pub fn with_judge(bootstrap: &str, file: &str, edits: &[(String, String)]) -> Result<String> {
    let cluster = replace_each(file, edits)?;
    let first = "    - name: judge\n";
    let (before, _) = bootstrap
        .split_once(first)
        .ok_or("the bootstrap configuration has no cluster `judge`")?;
    Ok(format!("{before}{cluster}"))
}

/// `envoy/judge-secret.yaml` with this token.
///
/// # Errors
/// When it is not as it was.
pub fn judge_secret(token: &str) -> Result<String> {
    let placeholder = "serinus_put-the-token-here".to_owned();
    replace_each(
        "envoy/judge-secret.yaml",
        &[(placeholder, token.to_owned())],
    )
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

/// `envoy/xds-plugin.json`, which a judge reads, for this module.
///
/// # Errors
/// When it is not as it was.
pub fn xds_plugin(wasm: &Path) -> Result<String> {
    let wasm = (
        "target/wasm/serinus_filter.wasm".to_owned(),
        wasm.display().to_string(),
    );
    replace_each("envoy/xds-plugin.json", &[wasm])
}

fn ports(upstreams: Upstreams) -> [(String, String); 6] {
    [
        (9901, 0),
        (10000, 0),
        (8001, upstreams.control),
        (8002, upstreams.canary),
        (8003, upstreams.shadow),
        (8090, upstreams.judge),
    ]
    .map(|(old, new)| (format!("port_value: {old}"), format!("port_value: {new}")))
}

fn owned(edits: &[Edit]) -> impl Iterator<Item = (String, String)> {
    let edits = edits.iter();
    edits.map(|(old, new)| ((*old).to_owned(), (*new).to_owned()))
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

    const UPSTREAMS: Upstreams = Upstreams {
        control: 1,
        canary: 2,
        shadow: 4,
        judge: 3,
    };

    #[test]
    fn all_places_are_found() {
        let edit = ("stat_prefix: models", "stat_prefix: others");
        let text = bootstrap(UPSTREAMS, Path::new("/lab/serinus.yaml"), &[edit]).unwrap();
        assert!(text.contains("path: /lab/serinus.yaml"));
        let by_ecds = ecds_bootstrap(UPSTREAMS, &[edit]).unwrap();
        for text in [text, by_ecds] {
            assert!(text.contains(edit.1));
            for port in [1, 2, 3, 4].map(|port| format!("port_value: {port} ")) {
                assert_eq!(text.matches(&port).count(), 1, "{port}");
            }
        }
        let text = filter(Path::new("/lab/filter.wasm"), true).unwrap();
        assert!(text.contains("filename: /lab/filter.wasm"));
        assert!(text.contains("\"disabled\": true"));
        let text = xds_plugin(Path::new("/lab/filter.wasm")).unwrap();
        assert!(text.contains("\"wasm\": \"/lab/filter.wasm\""));
    }

    /// What only `ecds.yaml` has, without comments.
    const SOURCE: &str = r#"
                        resource_api_version: V3
                        initial_fetch_timeout: 3s
                        api_config_source:
                          api_type: DELTA_GRPC
                          transport_api_version: V3
                          grpc_services:
                            - envoy_grpc:
                                cluster_name: judge
                                retry_policy:
                                  retry_back_off: { base_interval: 0.25s, max_interval: 2s }
"#;
    const HTTP2: &str = r#"
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config:
            http2_protocol_options:
              connection_keepalive: { interval: 5s, timeout: 5s }
"#;

    const HTTP2_CHECKS: &str = ", codec_client_type: HTTP2";

    #[test]
    fn the_two_configurations_differ_where_they_say_so_and_nowhere_else() {
        let lines = |file: &str| -> String {
            let text = fs::read_to_string(artefacts::root().join(file)).unwrap();
            let lines = text.lines();
            lines
                .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect()
        };
        let mut ecds = lines("envoy/ecds.yaml");
        for (only_there, instead) in [
            (
                SOURCE,
                "\n                        path_config_source: { path: envoy/serinus.yaml }\n",
            ),
            (HTTP2, "\n"),
            (HTTP2_CHECKS, ""),
        ] {
            assert_eq!(ecds.matches(only_there).count(), 1, "{only_there}");
            ecds = ecds.replacen(only_there, instead, 1);
        }
        assert_eq!(ecds, lines("envoy/envoy.yaml"));
    }
}
