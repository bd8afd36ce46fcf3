use super::*;
use clap::Parser;
use serde_json::Value;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    to_judge: ToJudge,
}

/// As somebody writes them.
pub fn options(words: &str) -> ToJudge {
    let words = std::iter::once("serinus").chain(words.split_whitespace());
    Command::try_parse_from(words).unwrap().to_judge
}

const MUTUAL: &str = "--judge-ca /ca.pem --judge-certificate /envoy.pem --judge-key /envoy.key --judge-sni judge.example";

fn judge() -> Address {
    "judge.serinus:8090".parse().unwrap()
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn who_is_trusted_is_a_matter_of_name_and_authority() {
    let none = options("");
    assert_eq!(
        none.access(&judge()).unwrap(),
        Access {
            token: None,
            tls: None
        }
    );
    assert_eq!(none.given(), None);
    let own = options("--judge-ca /ca.pem");
    let tls = own.access(&judge()).unwrap().tls.unwrap();
    assert_eq!((tls.name.as_str(), tls.shown), ("judge.serinus", None));
    let other = options("--judge-ca /ca.pem --judge-sni judge.example");
    for address in ["judge.serinus:1", "10.0.0.7:1", "[::1]:1"] {
        let tls = other.access(&address.parse().unwrap()).unwrap().tls;
        assert_eq!(tls.unwrap().name, "judge.example");
    }
}

#[test]
fn what_is_written_is_what_the_repositorys_files_have() {
    for (words, file) in [
        (
            "--judge-ca /ca.pem --judge-sni judge.example --judge-token /judge-secret.yaml",
            include_str!("../../../../../envoy/judge-token.yaml"),
        ),
        (
            MUTUAL,
            include_str!("../../../../../envoy/judge-certificate.yaml"),
        ),
    ] {
        // Which has paths of the repository's.
        let file = file
            .replace("filename: ", "filename: /")
            .replace("path: envoy/", "path: /");
        let options = options(words);
        let access = options.access(&judge()).unwrap();
        let mut own = parsed(&access.tls.unwrap().transport_socket());
        if let Some(token) = access.token {
            let more = parsed(&with_token(token));
            own.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
        }
        let theirs = parsed(&file);
        for field in ["transport_socket", "typed_extension_protocol_options"] {
            assert_eq!(own[field], theirs[0][field], "{words}");
        }
    }
}

#[test]
fn what_makes_no_sense_together_is_named() {
    for (words, address, problem) in [
        (
            "--judge-sni judge.example",
            "judge:1",
            "--judge-sni: is for TLS, and nothing says whom proxies trust; --judge-ca PATH is right",
        ),
        (
            "--judge-certificate /a --judge-key /b",
            "judge:1",
            "--judge-certificate: is for TLS",
        ),
        ("--judge-key /b", "judge:1", "--judge-key: is for TLS"),
        (
            "--judge-ca /ca --judge-certificate /a",
            "judge:1",
            "--judge-key: is missing; the file with the key of `/a` is right",
        ),
        (
            "--judge-ca /ca --judge-key /b",
            "judge:1",
            "--judge-certificate: is missing; the file with the certificate of the key `/b` is right",
        ),
        (
            "--judge-ca /ca --judge-certificate /a.yaml --judge-key /b",
            "judge:1",
            "--judge-key: stands beside `/a.yaml`, which names the key itself; leave it out",
        ),
        (
            "--judge-ca /ca",
            "10.0.0.7:1",
            "--judge-sni: is missing, and the judge's address `10.0.0.7` is none: a DNS name",
        ),
    ] {
        let options = options(words);
        let error = options.access(&address.parse().unwrap()).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(problem), "{words}: {error}");
    }
}

#[test]
fn paths_and_names_are_what_yaml_and_tls_take() {
    for right in ["judge", "judge.example", "a-1.2"] {
        right.parse::<ServerName>().unwrap();
    }
    for wrong in [
        "",
        "10.0.0.7",
        "::1",
        "a..b",
        ".a",
        "a b",
        "*.example",
        "a\"b",
    ] {
        wrong.parse::<ServerName>().unwrap_err();
    }
    for wrong in ["", "ca.pem", "/a b", "/a\"b", "/a\\b", "/a\nb"] {
        wrong.parse::<ProxyFile>().unwrap_err();
    }
}

#[test]
fn the_option_that_another_cluster_has_no_place_for_is_named() {
    for (words, option) in [
        ("--judge-token /a", "--judge-token"),
        (MUTUAL, "--judge-ca"),
        ("--judge-sni a", "--judge-sni"),
        ("--judge-key /a", "--judge-key"),
    ] {
        assert_eq!(options(words).given(), Some(option));
    }
}

#[test]
fn files_that_change_are_named_by_secrets() {
    for (words, once, secret) in [
        ("--judge-ca /ca.pem", true, None),
        ("--judge-ca /ca.yaml", false, Some("--judge-ca")),
        (
            "--judge-ca /ca.yaml --judge-certificate /own.yaml",
            false,
            Some("--judge-ca"),
        ),
        (
            "--judge-ca /ca.pem --judge-certificate /own.yaml",
            true,
            Some("--judge-certificate"),
        ),
        (
            "--judge-ca /ca.yaml --judge-certificate /own.pem --judge-key /own.key",
            true,
            Some("--judge-ca"),
        ),
    ] {
        let options = options(words);
        let tls = options.access(&judge()).unwrap().tls.unwrap();
        assert_eq!(tls.secret(), secret, "{words}");
        let text = tls.transport_socket();
        assert_eq!(text.contains("reads PEM files once"), once, "{text}");
        let context = &parsed(&text)["transport_socket"]["typed_config"]["common_tls_context"];
        let names = [
            "/validation_context",
            "/combined_validation_context/default_validation_context",
        ];
        let named = names.iter().find_map(|at| {
            context.pointer(&format!(
                "{at}/match_typed_subject_alt_names/0/matcher/exact"
            ))
        });
        assert_eq!(named.unwrap(), "judge.serinus", "{text}");
    }
}
