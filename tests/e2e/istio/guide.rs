//! Every command in the guide for Istio is run, in the guide's order.

use super::checked;
use crate::cli::desk::Desk;
use serinus_tests::artefacts;
use std::os::unix::fs::{PermissionsExt, symlink};
use tokio::process::Command;

/// The blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let parts = text.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// Applies nothing, and takes no file that Istio's schemas do not; makes no Secret of a
/// file or folder that is not there.
const KUBECTL: &str = r#"#!/bin/sh
set -e
if [ "$1 $2 $3" = "create secret generic" ]; then
    [ -s "${5#--from-file=}" ]
    exit
fi
[ "$1" = apply ]
shift
[ "$1" = --server-side ] && shift
[ "$1" = -f ]
[ -s "$2" ]
CHECK < "$2" > /dev/null
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_works() {
    let root = artefacts::root();
    let guide = std::fs::read_to_string(root.join("judge-service/docs/istio.md")).unwrap();
    let desk = Desk::start().await;
    desk.file("rollout.yaml", blocks(&guide, "yaml")[0]);
    let check = root.join("tests/check-istio").display().to_string();
    let kubectl = desk.file("kubectl", &KUBECTL.replace("CHECK", &check));
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink(root.join("judge-service/deploy"), desk.path("deploy")).unwrap();
    symlink(artefacts::wasm().unwrap(), desk.path("serinus_filter.wasm")).unwrap();
    let serinus = artefacts::program("serinus").unwrap();
    let folder = serinus.parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let scripts = blocks(&guide, "sh");
    assert!(scripts.len() > 5, "{}", scripts.len());
    for script in scripts {
        let output = Command::new("sh")
            .args(["-e", "-c", script])
            .current_dir(desk.path(""))
            .env("PATH", format!("{}:{folder}:{path}", desk.path("")))
            .env("SERINUS_JUDGE", desk.judge.address())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{said}");
    }
    // All that is between places is written, and each is what the guide calls it.
    for (file, kinds) in [
        ("istio.yaml", "EnvoyFilter VirtualService"),
        ("routes.yaml", "VirtualService DestinationRule"),
        ("sidecars.yaml", "EnvoyFilter VirtualService"),
        ("behind.yaml", "EnvoyFilter VirtualService"),
        ("plugin.yaml", "WasmPlugin"),
        ("filter-with-token.yaml", "EnvoyFilter"),
        ("plugin-with-certificate.yaml", "WasmPlugin DestinationRule"),
    ] {
        let text = std::fs::read_to_string(desk.path(file)).unwrap();
        let objects = checked(&text).await.unwrap();
        let found: Vec<&str> = objects
            .iter()
            .map(|one| one["kind"].as_str().unwrap())
            .collect();
        assert_eq!(found.join(" "), kinds, "{file}");
    }
}
