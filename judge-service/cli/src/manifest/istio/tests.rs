use super::*;
use crate::manifest::to_judge;
use serde_json::{Value, json};

fn spec() -> Value {
    json!({
        "id": "Fraud_2", "enforced_at": "gateway",
        "match": {"host": "models.example.com"}, "unit": [{"header": "x"}],
        "arms": [{"name": "v1", "version": "v1"}, {"name": "v2", "version": "2.0"}],
    })
}

/// Options beside what is usual.
#[derive(Default)]
struct Options<'a> {
    place: Place,
    form: Form,
    point: Option<&'a str>,
    shadow: Option<&'a str>,
    judge: Option<&'a str>,
    judge_cluster: Option<&'a str>,
    to_judge: &'a str,
    credential: Option<&'a str>,
    addresses: &'a [&'a str],
    subset_label: Option<&'a str>,
    gateways: &'a [&'a str],
    hosts: &'a [&'a str],
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Both halves, of which each may fail.
fn texts(
    spec: &Value,
    options: &Options<'_>,
) -> (Result<String, Failure>, Result<String, Failure>) {
    let spec: RolloutSpec = serde_json::from_value(spec.clone()).unwrap();
    let spec = spec.completed();
    let subject = Subject {
        spec: &spec,
        place: options.place,
        point: options.point,
        namespace: &ObjectName("models".to_owned()),
    };
    if let Err(failure) = subject.check_point() {
        return (Err(failure.clone()), Err(failure));
    }
    let shadow = options.shadow.map(|text| text.parse::<Address>().unwrap());
    let judge = options.judge.map(|text| text.parse::<Address>().unwrap());
    let to_judge = to_judge::tests::options(options.to_judge);
    let credential = options.credential.map(|name| name.parse().unwrap());
    let judge = Judge::new(
        options.form,
        judge.as_ref(),
        options.judge_cluster,
        &to_judge,
        credential.as_ref(),
    );
    let filter = judge.and_then(|judge| {
        Filter {
            form: options.form,
            workload: &parse(&["istio=ingressgateway"]),
            module: &Module::new("file:///f.wasm".parse().unwrap(), None).unwrap(),
            judge,
            shadow: shadow.as_ref(),
        }
        .text(&subject)
    });
    let addresses: &[&str] = match options.addresses {
        [] => &["v1=fraud-v1:80", "v2=fraud-v2:80"],
        given => given,
    };
    let gateways: &[&str] = match (options.gateways, options.place) {
        ([], Place::Gateway) => &["istio-ingress/public"],
        (given, _) => given,
    };
    let routes = Routes {
        addresses: &parse(addresses),
        subset_label: options.subset_label,
        gateways: &parse(gateways),
        hosts: &parse(options.hosts),
    };
    (filter, routes.text(&subject))
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn filter(spec: &Value, options: &Options<'_>) -> Value {
    documents(&texts(spec, options).0.unwrap()).remove(0)
}

fn routes(spec: &Value, options: &Options<'_>) -> Vec<Value> {
    documents(&texts(spec, options).1.unwrap())
}

/// The patches that apply to this.
fn patches<'a>(filter: &'a Value, to: &str) -> Vec<&'a Value> {
    let all = filter["spec"]["configPatches"].as_array().unwrap();
    all.iter().filter(|patch| patch["applyTo"] == to).collect()
}

/// The plugin configuration as the filter reads it.
fn settings(filter: &Value) -> serinus_core::settings::Settings {
    let text = match filter["kind"].as_str().unwrap() {
        "WasmPlugin" => filter["spec"]["pluginConfig"].to_string(),
        _ => {
            let value = &patches(filter, "EXTENSION_CONFIG")[0]["patch"]["value"];
            let configuration = &value["typed_config"]["config"]["configuration"]["value"];
            configuration.as_str().unwrap().to_owned()
        }
    };
    let read = serinus_core::settings::read(Some(text.as_bytes()));
    read.unwrap().settings
}

#[test]
fn each_form_and_place_names_its_point_and_its_judge() {
    for (form, place, cluster) in [
        (Form::EnvoyFilter, Place::Gateway, "serinus-judge"),
        (Form::EnvoyFilter, Place::Sidecar, "serinus-judge"),
        (
            Form::WasmPlugin,
            Place::Gateway,
            "outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local",
        ),
        (
            Form::WasmPlugin,
            Place::Sidecar,
            "outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local",
        ),
    ] {
        let options = Options {
            form,
            place,
            ..Options::default()
        };
        let filter = filter(&spec(), &options);
        let settings = settings(&filter);
        assert_eq!(settings.judge.unwrap().cluster, cluster);
        assert_eq!(settings.enforcement_point.as_deref(), Some(place.name()));
        // Whoever can reach a gateway can send it any header.
        assert_eq!(settings.trusts_arm, place == Place::Sidecar);
        assert_eq!(settings.hold_bodies, form == Form::EnvoyFilter);
        assert_eq!(
            filter["metadata"],
            json!({"name": format!("serinus-{}", place.name()), "namespace": "models"})
        );
    }
}

/// Each form has what it can use: the name of every judge, or one address for all.
#[test]
fn the_judge_is_where_the_deployment_has_it_unless_told_otherwise() {
    let text = |form, judge| {
        let options = Options {
            form,
            judge,
            ..Options::default()
        };
        texts(&spec(), &options).0.unwrap()
    };
    let own = text(Form::EnvoyFilter, None);
    let cluster = patches(&documents(&own)[0], "CLUSTER")[0]["patch"]["value"].clone();
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(
        endpoint["address"]["socket_address"],
        json!({"address": "serinus-judge.serinus.svc.cluster.local", "port_value": 8090})
    );
    assert_eq!(cluster["transport_socket"], Value::Null);
    // What it advises instead is no cluster of a headless Service.
    let mesh = "outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local";
    assert!(own.contains(&format!("# --judge-cluster '{mesh}'.\n")));
    assert!(text(Form::WasmPlugin, None).contains(mesh));
    for form in [Form::EnvoyFilter, Form::WasmPlugin] {
        assert!(text(form, Some("judge.example:1")).contains("outbound|1||judge.example"));
    }
}

const MUTUAL: &str = "--judge-ca /tls/ca.pem --judge-sni judge.example --judge-certificate /tls/envoy.pem --judge-key /tls/envoy.key";

#[test]
fn a_cluster_of_the_filters_own_has_tls_and_a_token() {
    let options = Options {
        to_judge: "--judge-ca /tls/ca.pem --judge-token /tls/secret.yaml",
        ..Options::default()
    };
    let text = texts(&spec(), &options).0.unwrap();
    assert!(!text.contains("plain HTTP"), "{text}");
    let [filter] = documents(&text).try_into().unwrap();
    let cluster = &patches(&filter, "CLUSTER")[0]["patch"]["value"];
    let tls = &cluster["transport_socket"]["typed_config"];
    let name = "serinus-judge.serinus.svc.cluster.local";
    assert_eq!(tls["sni"], name);
    assert_eq!(
        tls["common_tls_context"],
        json!({"validation_context": {
            "trusted_ca": {"filename": "/tls/ca.pem"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
        }})
    );
    assert!(cluster["typed_extension_protocol_options"].is_object());
    assert!(cluster["load_assignment"].is_object());
    let options = Options {
        to_judge: MUTUAL,
        ..Options::default()
    };
    let filter = self::filter(&spec(), &options);
    let cluster = &patches(&filter, "CLUSTER")[0]["patch"]["value"];
    let shown = &cluster["transport_socket"]["typed_config"]["common_tls_context"];
    assert_eq!(
        shown["tls_certificates"],
        json!([{
            "certificate_chain": {"filename": "/tls/envoy.pem"},
            "private_key": {"filename": "/tls/envoy.key"},
        }])
    );
    assert!(cluster["typed_extension_protocol_options"].is_null());
    // A token that everybody on the way can read is said to be one.
    let options = Options {
        to_judge: "--judge-token /tls/secret.yaml",
        ..Options::default()
    };
    let text = texts(&spec(), &options).0.unwrap();
    assert!(text.contains("Whoever listens reads the token"), "{text}");
}

#[test]
fn istios_cluster_has_tls_by_a_destination_rule() {
    let rule = |to_judge, point| {
        let options = Options {
            form: Form::WasmPlugin,
            place: Place::Sidecar,
            point,
            to_judge,
            ..Options::default()
        };
        let text = texts(&spec(), &options).0.unwrap();
        assert!(text.contains("DestinationRule below"), "{text}");
        let [plugin, rule] = documents(&text).try_into().unwrap();
        let host = rule["spec"]["host"].as_str().unwrap().to_owned();
        let cluster = settings(&plugin).judge.unwrap().cluster;
        assert_eq!(cluster, format!("outbound|8090||{host}"));
        rule
    };
    let host = "serinus-judge-mesh.serinus.svc.cluster.local";
    assert_eq!(
        rule("--judge-ca /tls/ca.pem", None),
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "judge-for-serinus-sidecar", "namespace": "models"},
            "spec": {
                "host": host,
                "workloadSelector": {"matchLabels": {"istio": "ingressgateway"}},
                "trafficPolicy": {"tls": {
                    "mode": "SIMPLE",
                    "caCertificates": "/tls/ca.pem",
                    "sni": host,
                    "subjectAltNames": [host],
                }},
            },
        })
    );
    let mutual = rule(MUTUAL, Some("Hop_1"));
    assert_eq!(
        mutual["spec"]["trafficPolicy"]["tls"],
        json!({
            "mode": "MUTUAL",
            "caCertificates": "/tls/ca.pem",
            "sni": "judge.example",
            "subjectAltNames": ["judge.example"],
            "clientCertificate": "/tls/envoy.pem",
            "privateKey": "/tls/envoy.key",
        })
    );
    let secret = Options {
        form: Form::WasmPlugin,
        credential: Some("judge-tls"),
        to_judge: "--judge-sni judge.example",
        ..Options::default()
    };
    let secret = documents(&texts(&spec(), &secret).0.unwrap());
    assert_eq!(
        secret[1]["spec"]["trafficPolicy"]["tls"],
        json!({
            "mode": "MUTUAL",
            "sni": "judge.example",
            "subjectAltNames": ["judge.example"],
            "credentialName": "judge-tls",
        })
    );
    let name = mutual["metadata"]["name"].as_str().unwrap();
    assert_eq!(name.parse::<ObjectName>().unwrap().0, name);
    let none = Options {
        form: Form::WasmPlugin,
        ..Options::default()
    };
    assert_eq!(documents(&texts(&spec(), &none).0.unwrap()).len(), 1);
}

#[test]
fn a_sidecar_leaves_headers_alone_that_a_gateway_takes_away_first() {
    let of = |place| {
        let options = Options {
            place,
            ..Options::default()
        };
        let filter = filter(&spec(), &options);
        assert_eq!(patches(&filter, "CLUSTER").len(), 1);
        patches(&filter, "NETWORK_FILTER").len()
    };
    assert_eq!((of(Place::Gateway), of(Place::Sidecar)), (1, 0));
    let options = Options {
        judge_cluster: Some("outbound|8090||j"),
        ..Options::default()
    };
    let filter = filter(&spec(), &options);
    assert!(patches(&filter, "CLUSTER").is_empty());
    assert_eq!(settings(&filter).judge.unwrap().cluster, "outbound|8090||j");
}

#[test]
fn the_default_route_is_the_baseline_and_comes_last() {
    let mut spec = spec();
    spec["baseline"] = json!("v2");
    let own = routes(&spec, &Options::default());
    let [virtual_service] = own.as_slice() else {
        panic!("{own:?}");
    };
    let to = |host: &str| json!([{"destination": {"host": host, "port": {"number": 80}}}]);
    assert_eq!(
        virtual_service["spec"],
        json!({
            "hosts": ["models.example.com"],
            "gateways": ["istio-ingress/public"],
            "http": [
                {"name": "serinus-fraud-2-70913e-v1",
                 "match": [{"headers": {"x-serinus-arm": {"exact": "v1"}}}],
                 "route": to("fraud-v1"), "retries": {"attempts": 0}},
                {"name": "serinus-fraud-2-70913e-v2",
                 "route": to("fraud-v2"), "retries": {"attempts": 0}},
            ],
        })
    );
}

#[test]
fn subsets_are_of_the_host_that_serves_them() {
    let mut spec = spec();
    let third = json!({"name": "v3", "version": "v3"});
    spec["arms"].as_array_mut().unwrap().push(third);
    spec["steps"] = json!([{"weights": {"v2": 10, "v3": 10}}]);
    spec["match"] = json!({});
    spec["enforced_at"] = json!("sidecar");
    let options = Options {
        place: Place::Sidecar,
        addresses: &["v1=fraud:80", "v2=fraud:80", "v3=other:80"],
        subset_label: Some("version"),
        ..Options::default()
    };
    let all = routes(&spec, &options);
    assert_eq!(all[0]["spec"]["gateways"], json!(["mesh"]));
    assert_eq!(all[0]["spec"]["hosts"], json!(["fraud"]));
    let destination = &all[0]["spec"]["http"][0]["route"][0]["destination"];
    assert_eq!(
        *destination,
        json!({"host": "fraud", "port": {"number": 80}, "subset": "v2"})
    );
    let rules: Vec<Value> = all[1..]
        .iter()
        .map(|rule| json!([rule["metadata"]["name"], rule["spec"]]))
        .collect();
    let subset = |name: &str, version: &str| json!({"name": name, "labels": {"version": version}});
    assert_eq!(
        rules,
        [
            json!(["serinus-fraud-2-accab8",
                {"host": "fraud", "subsets": [subset("v1", "v1"), subset("v2", "2.0")]}]),
            json!(["serinus-fraud-2-other-6f449c", {"host": "other", "subsets": [subset("v3", "v3")]}]),
        ]
    );
}

#[test]
fn copies_go_to_a_cluster_of_their_own_by_routes_that_are_named() {
    let mut spec = spec();
    spec["shadow"] = json!({"cluster": "outbound|80||copies"});
    let options = Options {
        shadow: Some("copies:80"),
        ..Options::default()
    };
    let filter = filter(&spec, &options);
    let clusters = patches(&filter, "CLUSTER");
    assert_eq!(clusters[1]["patch"]["value"]["name"], "outbound|80||copies");
    let named: Vec<&Value> = patches(&filter, "HTTP_ROUTE")
        .iter()
        .map(|patch| &patch["match"]["routeConfiguration"]["vhost"]["route"]["name"])
        .collect();
    let routes = routes(&spec, &options);
    let routes = routes[0]["spec"]["http"].as_array().unwrap();
    let mut routes: Vec<&Value> = routes.iter().map(|route| &route["name"]).collect();
    routes.sort_by_key(|name| name.to_string());
    assert_eq!(named, routes);
}

#[test]
fn what_is_wrong_is_named() {
    let changed = |pointer: &str, value: Value| {
        let mut spec = spec();
        spec[pointer] = value;
        spec
    };
    let usual = || Options::default();
    let arms = |second: Value| changed("arms", json!([{"name": "v1", "version": "v1"}, second]));
    let same = &["v1=a:80", "v2=a:80"];
    for (spec, options, problem) in [
        (
            changed("enforced_at", Value::Null),
            usual(),
            "enforced_at: is missing in rollout `Fraud_2`, so that every hop with a filter would decide and count its requests; `enforced_at: gateway` is right for this manifest",
        ),
        (
            changed("enforced_at", json!("edge")),
            usual(),
            "--point: rollout `Fraud_2` is enforced at `edge`, and this gateway is `gateway`; --point edge is right if it is that one",
        ),
        (
            spec(),
            Options {
                addresses: &["v1=a:80"],
                ..usual()
            },
            "--address: arm `v2` has none; --address v2=HOST:PORT says where it is served",
        ),
        (
            spec(),
            Options {
                addresses: &["v1=a:80", "v2=b:80", "v3=c:80"],
                ..usual()
            },
            "--address: there is no arm `v3`; did you mean `v1`?",
        ),
        (
            spec(),
            Options {
                addresses: same,
                ..usual()
            },
            "--address: arms `v1` and `v2` have one, and no route could tell them apart; --subset-label KEY tells them apart by a label of their pods, whose values are the arms' versions",
        ),
        (
            arms(json!({"name": "v2"})),
            Options {
                addresses: same,
                subset_label: Some("version"),
                ..usual()
            },
            "arms: `v2` has no `version`, which is the value of its pods' label",
        ),
        (
            arms(json!({"name": "v2", "version": "v1"})),
            Options {
                addresses: same,
                subset_label: Some("version"),
                ..usual()
            },
            "--address: arms `v1` and `v2` have one, and no route could tell them apart; their versions are the same",
        ),
        (
            arms(json!({"name": "v2", "version": "v 2"})),
            Options {
                addresses: same,
                subset_label: Some("version"),
                ..usual()
            },
            "arms: `v2` has version `v 2`, which no label has; letters, digits, - _ . are right",
        ),
        (
            arms(json!({"name": "V1", "version": "v2"})),
            Options {
                addresses: &["v1=a:80", "V1=b:80"],
                ..usual()
            },
            "arms: `v1` and `V1` would both be `v1` for Istio, whose names have lower case letters, digits and -",
        ),
        (
            changed("match", json!({})),
            usual(),
            "--host: is missing, and the rollout's match names none; the name by which clients call the gateway is right",
        ),
        (
            spec(),
            Options {
                place: Place::Sidecar,
                gateways: &["a/b"],
                ..usual()
            },
            "--gateway: sidecars are `mesh`; leave it out, or write routes of the gateway by --at gateway",
        ),
        (
            changed("shadow", json!({"cluster": "copies"})),
            usual(),
            "--shadow-address: is missing; the rollout copies requests to cluster `copies`",
        ),
        (
            spec(),
            Options {
                shadow: Some("a:1"),
                ..usual()
            },
            "--shadow-address: rollout `Fraud_2` has no shadow; leave it out",
        ),
        (
            changed("shadow", json!({"cluster": "copies"})),
            Options {
                form: Form::WasmPlugin,
                ..usual()
            },
            "--as: rollout `Fraud_2` has a shadow, for which routes must copy requests, which a WasmPlugin cannot give; --as envoy-filter is right",
        ),
        (
            changed("unit", json!([{"body": "/user"}])),
            Options {
                form: Form::WasmPlugin,
                ..usual()
            },
            "--as: rollout `Fraud_2` reads values in bodies, for which requests must be held, which a WasmPlugin cannot give; --as envoy-filter is right",
        ),
        (
            spec(),
            Options {
                form: Form::WasmPlugin,
                to_judge: "--judge-token /secret.yaml",
                ..usual()
            },
            "--judge-token: with --as wasm-plugin proxies reach the judge by Istio's own cluster, into which nothing puts a token, and in the plugin's configuration everybody would see it; --judge-ca, --judge-certificate and --judge-key are right instead, for a judge with --client-ca, or --as envoy-filter",
        ),
        (
            spec(),
            Options {
                to_judge: "--judge-token /secret.yaml",
                judge_cluster: Some("outbound|1||j"),
                ..usual()
            },
            "--judge-token: is written for the judge's address, and --judge-cluster names a cluster that the proxies have, `outbound|1||j`; one of them alone is right",
        ),
        (
            spec(),
            Options {
                form: Form::WasmPlugin,
                to_judge: "--judge-ca /ca.pem",
                judge_cluster: Some("outbound|1||j"),
                ..usual()
            },
            "--judge-ca: is written for the judge's address, and --judge-cluster names a cluster that the proxies have, `outbound|1||j`; one of them alone is right",
        ),
        (
            spec(),
            Options {
                form: Form::WasmPlugin,
                to_judge: "--judge-ca /ca.yaml",
                ..usual()
            },
            "--judge-ca: names a file of Envoy's own, and with --as wasm-plugin a DestinationRule names PEM, which Istio's agent reads again when it changes; --judge-ca, --judge-certificate and --judge-key with PEM files are right",
        ),
        (
            spec(),
            Options {
                credential: Some("judge-tls"),
                ..usual()
            },
            "--judge-credential: is what a DestinationRule names, and only --as wasm-plugin writes one; --judge-ca, --judge-certificate and --judge-key are right here",
        ),
        (
            spec(),
            Options {
                form: Form::WasmPlugin,
                credential: Some("judge-tls"),
                to_judge: "--judge-ca /ca.pem",
                ..usual()
            },
            "--judge-credential: stands beside --judge-ca; one of the two says how proxies reach the judge",
        ),
    ] {
        let (filter, routes) = texts(&spec, &options);
        let errors: Vec<String> = [filter.err(), routes.err()]
            .into_iter()
            .flatten()
            .map(|failure| failure.to_string())
            .collect();
        assert!(
            errors.iter().any(|error| error == problem),
            "{errors:?}\nis not {problem}"
        );
    }
}
