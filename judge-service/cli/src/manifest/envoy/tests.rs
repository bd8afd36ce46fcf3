use super::*;
use crate::manifest::to_judge;
use serde_json::{Value, json};

fn text(
    spec: &Value,
    addresses: &[&str],
    shadow: Option<&str>,
    source: Source,
) -> Result<String, Failure> {
    text_to_judge(spec, addresses, shadow, source, "")
}

fn text_to_judge(
    spec: &Value,
    addresses: &[&str],
    shadow: Option<&str>,
    source: Source,
    to_judge: &str,
) -> Result<String, Failure> {
    let spec: RolloutSpec = serde_json::from_value(spec.clone()).unwrap();
    let addresses: Vec<ArmAddress> = addresses.iter().map(|one| one.parse().unwrap()).collect();
    let at = |text: &str| text.parse::<Address>().unwrap();
    let shadow = shadow.map(at);
    let judge = at("judge.example:8090");
    let to_judge = to_judge::tests::options(to_judge);
    Envoy {
        spec: &spec.completed(),
        addresses: &addresses,
        listen: &at("0.0.0.0:80"),
        admin: &at("127.0.0.1:9999"),
        judge: &judge,
        access: to_judge.access(&judge)?,
        shadow: shadow.as_ref(),
        node: "edge-7",
        source,
        filter_file: "/etc/serinus.yaml",
    }
    .text()
}

fn spec() -> Value {
    json!({
        "id": "fraud", "match": {"path_prefix": "/v2/"}, "unit": [{"header": "x"}],
        "arms": [{"name": "v1"}, {"name": "v2"}, {"name": "3.0"}],
        "steps": [{"weights": {"v2": 10, "3.0": 10}}]
    })
}

const ADDRESSES: [&str; 3] = ["v1=a:1", "v2=b:2", "3.0=c:3"];

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn a_route_and_a_cluster_for_each_arm() {
    for source in [Source::Poll, Source::Ecds] {
        let text = text(&spec(), &ADDRESSES, None, source).unwrap();
        for gone in ["canary", "control", "shadow\n", "8001", "127.0.0.1:80"] {
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with('#'));
            let found: Vec<&str> = lines.filter(|line| line.contains(gone)).collect();
            assert!(found.is_empty(), "{gone}: {found:?}");
        }
        let config = parsed(&text);
        let resources = &config["static_resources"];
        let manager = &resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let routes = manager["route_config"]["virtual_hosts"][0]["routes"]
            .as_array()
            .unwrap();
        let routes: Vec<Value> = routes
            .iter()
            .map(|route| {
                let arm = &route["match"]["headers"][0]["string_match"]["exact"];
                json!([arm, route["route"]["cluster"]])
            })
            .collect();
        assert_eq!(
            json!(routes),
            json!([["v2", "v2"], ["3.0", "3.0"], [null, "v1"]])
        );
        let clusters = resources["clusters"].as_array().unwrap();
        let clusters: Vec<Value> = clusters
            .iter()
            .map(|cluster| {
                let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
                let socket = &endpoint["endpoint"]["address"]["socket_address"];
                json!([
                    cluster["name"],
                    cluster["load_assignment"]["cluster_name"],
                    socket["address"],
                    socket["port_value"]
                ])
            })
            .collect();
        assert_eq!(
            json!(clusters),
            json!([
                ["v1", "v1", "a", 1],
                ["v2", "v2", "b", 2],
                ["3.0", "3.0", "c", 3],
                ["judge", "judge", "judge.example", 8090]
            ])
        );
        assert_eq!(config["node"]["id"], "edge-7");
    }
}

#[test]
fn the_templates_own_names_and_addresses_are_as_good_as_others() {
    let mut document = spec();
    for (arm, name) in ["control", "canary", "shadow"].iter().enumerate() {
        document["arms"][arm]["name"] = json!(name);
    }
    document["steps"] = json!([{"weights": {"canary": 10, "shadow": 10}}]);
    document["shadow"] = json!({"cluster": "shadow"});
    let addresses = [
        "control=127.0.0.1:8001",
        "canary=127.0.0.1:8002",
        "shadow=127.0.0.1:8003",
    ];
    let whole = text(&document, &addresses, Some("127.0.0.1:8003"), Source::Poll).unwrap();
    let clusters = parsed(&whole)["static_resources"]["clusters"].clone();
    let names = clusters
        .as_array()
        .unwrap()
        .iter()
        .map(|cluster| &cluster["name"]);
    let names: Vec<&Value> = names.collect();
    assert_eq!(
        names,
        ["control", "canary", "arm-shadow", "shadow", "judge"]
    );
}

#[test]
fn a_shadow_has_its_cluster() {
    let mut document = spec();
    document["shadow"] = json!({"cluster": "copies"});
    let whole = text(&document, &ADDRESSES, Some("d:4"), Source::Poll).unwrap();
    let clusters = parsed(&whole)["static_resources"]["clusters"].clone();
    assert_eq!(clusters[3]["name"], "copies");
    assert_eq!(whole.matches("request_mirror_policies: *shadow").count(), 2);
    let error = text(&document, &ADDRESSES, None, Source::Poll).unwrap_err();
    assert!(error.to_string().contains("--shadow-address: is missing"));
}

/// The cluster by which this Envoy reaches its judge.
fn judge_cluster(source: Source, to_judge: &str) -> Value {
    let text = text_to_judge(&spec(), &ADDRESSES, None, source, to_judge).unwrap();
    let clusters = parsed(&text)["static_resources"]["clusters"].clone();
    clusters.as_array().unwrap().last().unwrap().clone()
}

#[test]
fn the_judges_cluster_is_the_one_of_the_repositorys_files() {
    for (to_judge, file) in [
        (
            "--judge-ca /ca.pem --judge-token /judge-secret.yaml",
            include_str!("../../../../../envoy/judge-token.yaml"),
        ),
        (
            "--judge-ca /ca.pem --judge-certificate /envoy.pem --judge-key /envoy.key",
            include_str!("../../../../../envoy/judge-certificate.yaml"),
        ),
    ] {
        // Which has paths of the repository's, and a judge on this machine.
        let file = file
            .replace("filename: ", "filename: /")
            .replace("path: envoy/", "path: /")
            .replace("address: 127.0.0.1", "address: judge.example");
        let own = judge_cluster(Source::Poll, to_judge);
        assert_eq!(own, parsed(&file)[0], "{to_judge}");
    }
}

#[test]
fn a_judge_that_is_the_xds_server_is_shown_the_token_by_http2() {
    let to_judge = "--judge-ca /ca.pem --judge-token /judge-secret.yaml";
    let (poll, ecds) = (
        judge_cluster(Source::Poll, to_judge),
        judge_cluster(Source::Ecds, to_judge),
    );
    assert_eq!(ecds["transport_socket"], poll["transport_socket"]);
    let options = |cluster: &Value| {
        let all = &cluster["typed_extension_protocol_options"];
        all["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].clone()
    };
    let (poll, ecds) = (options(&poll), options(&ecds));
    assert_eq!(ecds["http_filters"], poll["http_filters"]);
    assert!(ecds["explicit_http_config"]["http2_protocol_options"].is_object());
    for source in [Source::Poll, Source::Ecds] {
        // Without either the template's cluster is as it was.
        assert!(judge_cluster(source, "")["transport_socket"].is_null());
        let in_clear = "--judge-token /judge-secret.yaml";
        let text = text_to_judge(&spec(), &ADDRESSES, None, source, in_clear).unwrap();
        assert!(text.contains("# Whoever listens reads the token"), "{text}");
    }
}

#[test]
fn addresses_are_those_of_the_arms() {
    for (addresses, words) in [
        (&["v1=a:1", "v2=b:2"][..], "arm `3.0` has none"),
        (&["v1=a:1", "v1=b:2"], "`v1` has two"),
        (
            &["v1=a:1", "v22=b:2"],
            "there is no arm `v22`; did you mean `v2`?",
        ),
        (
            &["canary=a:1"],
            "there is no arm `canary`; the arms are v1, v2, 3.0",
        ),
    ] {
        let error = text(&spec(), addresses, None, Source::Poll).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_filter_names_its_module() {
    let text = filter("/opt/f.wasm").unwrap();
    let config = &parsed(&text)["resources"][0]["typed_config"]["config"];
    assert_eq!(
        config["vm_config"]["code"]["local"]["filename"],
        "/opt/f.wasm"
    );
    filter("a: b").unwrap_err();
}
