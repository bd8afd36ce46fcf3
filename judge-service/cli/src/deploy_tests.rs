//! What `judge-service/deploy` says of the judge is so: its flags, paths, ports and names.

use super::Cli;
use crate::Command;
use clap::Parser;
use serde_json::{Value, json};

const JUDGE: &str = include_str!("../../deploy/judge.yaml");
const TLS: &str = include_str!("../../deploy/tls/kustomization.yaml");
const KUSTOMIZATION: &str = include_str!("../../deploy/kustomization.yaml");
const WASM_PLUGIN: &str = include_str!("../../deploy/wasm-plugin.yaml");
const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const RELEASE: &str = include_str!("../../../.github/workflows/release.yml");
const OPENAPI: &str = include_str!("../../openapi.json");

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|one| one["kind"] == kind).unwrap()
}

fn container(documents: &[Value]) -> &Value {
    let deployment = of_kind(documents, "Deployment");
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_judge_starts_with_what_the_deployment_gives_it() {
    let all = documents(JUDGE);
    let container = container(&all);
    let variables = container["env"].as_array().unwrap();
    let value = |argument: &Value| {
        let mut argument = argument.as_str().unwrap().to_owned();
        for variable in variables {
            let name = format!("$({})", variable["name"].as_str().unwrap());
            argument = argument.replace(&name, "10.0.0.7");
        }
        assert!(!argument.contains('$'), "{argument} has no value");
        argument
    };
    let arguments = container["args"].as_array().unwrap().iter().map(value);
    let words = std::iter::once("serinus".to_owned()).chain(arguments);
    let command = Cli::try_parse_from(words).unwrap().command;
    assert!(matches!(command, Command::Serve(_)));
    // A password among the arguments could be read by everybody on the node.
    let is_secret = |variable: &&Value| variable["valueFrom"]["secretKeyRef"].is_object();
    let secrets = variables.iter().filter(is_secret);
    let secrets: Vec<&str> = secrets.filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(secrets, ["SERINUS_STORE"]);
    let serve = <Cli as clap::CommandFactory>::command();
    let serve = serve.find_subcommand("serve").unwrap();
    let store = serve
        .get_arguments()
        .find(|one| one.get_long() == Some("store"));
    assert_eq!(store.unwrap().get_env().unwrap(), "SERINUS_STORE");
    let arguments = container["args"].to_string();
    assert!(!arguments.contains("SERINUS_STORE") && !arguments.contains("--store"));
    // Nobody is let in without a token, and the judge may read the file of them.
    let arguments = container["args"].as_array().unwrap();
    assert!(!arguments.contains(&json!("--allow-remote")));
    let pod = &of_kind(&all, "Deployment")["spec"]["template"]["spec"];
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["name"] == "tokens")
        .unwrap();
    let file = format!("--tokens={}/tokens", mount["mountPath"].as_str().unwrap());
    assert!(arguments.contains(&json!(file)));
    let volumes = pod["volumes"].as_array().unwrap();
    let secret = &volumes.iter().find(|one| one["name"] == "tokens").unwrap()["secret"];
    let made = format!(
        "create secret generic {} --from-file=tokens",
        secret["secretName"].as_str().unwrap()
    );
    assert!(KUSTOMIZATION.contains(&made), "{made}");
    assert!(
        JUDGE.contains("defaultMode: 0440"),
        "others must not read it"
    );
    assert_eq!(
        pod["securityContext"]["fsGroup"],
        pod["securityContext"]["runAsGroup"]
    );
    // The image runs it as this user, from nowhere that it could write to.
    let user = pod["securityContext"]["runAsUser"].to_string();
    assert!(
        DOCKERFILE.contains(&format!("USER {user}:{user}\n")),
        "{user}"
    );
    assert!(DOCKERFILE.contains("ENTRYPOINT [\"serinus\"]"));
    // Else no webhook at https:// would be trusted.
    let judge = DOCKERFILE.split(" AS judge\n").nth(1).unwrap();
    assert!(judge.contains("/etc/ssl/certs/ca-certificates.crt\n"));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
}

/// A JSON patch (RFC 6902), as far as the component needs one.
fn patched(mut document: Value, patch: &Value) -> Value {
    for step in patch.as_array().unwrap() {
        let path = step["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let value = step["value"].clone();
        let place = document.pointer_mut(parent).unwrap();
        match (step["op"].as_str().unwrap(), place) {
            ("add", Value::Array(list)) if name == "-" => list.push(value),
            ("add", Value::Object(fields)) => {
                assert!(fields.insert(name.to_owned(), value).is_none(), "{path}");
            }
            ("replace", place) => *place.pointer_mut(&format!("/{name}")).unwrap() = value,
            ("test", place) => assert_eq!(place.pointer(&format!("/{name}")), Some(&value)),
            other => panic!("{other:?}"),
        }
    }
    document
}

#[test]
fn with_tls_it_speaks_nothing_else() {
    let component = documents(TLS).remove(0);
    let patch = component["patches"][0]["patch"].as_str().unwrap();
    let deployment = of_kind(&documents(JUDGE), "Deployment").clone();
    let deployment = patched(deployment, &documents(patch).remove(0));
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
    let words = std::iter::once("serinus").chain(arguments.iter().copied());
    Cli::try_parse_from(words).unwrap();
    let advertised = arguments.iter().filter(|one| one.contains("--advertise="));
    let advertised: Vec<_> = advertised.collect();
    assert_eq!(advertised, [&"--advertise=https://$(POD_IP):8090"]);
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS");
    }
    // The guide makes the Secret with these files, of a certificate with that name.
    let guide = include_str!("../../docs/istio.md");
    let secret = &pod["volumes"].as_array().unwrap().last().unwrap()["secret"];
    let made = format!(
        "secret generic {} --from-file=judge-tls",
        secret["secretName"].as_str().unwrap()
    );
    assert!(guide.contains(&made), "{made}");
    let name = arguments
        .iter()
        .find_map(|one| one.strip_prefix("--peer-name="));
    assert!(guide.contains(&format!("subjectAltName=DNS:{}", name.unwrap())));
    let mount = container["volumeMounts"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    let files = arguments
        .iter()
        .filter_map(|one| one.split("=/tls/").nth(1));
    let files: std::collections::BTreeSet<&str> = files.collect();
    assert_eq!(mount["mountPath"], "/tls");
    assert_eq!(
        files.into_iter().collect::<Vec<_>>(),
        ["ca.pem", "judge.key", "judge.pem"]
    );
    for file in [
        "-keyout judge-tls/judge.key",
        "-out judge-tls/judge.pem",
        "cp ca.pem judge-tls",
    ] {
        assert!(guide.contains(file), "{file}");
    }
}

#[test]
fn ports_paths_and_names_agree() {
    let all = documents(JUDGE);
    let container = container(&all);
    let port = &container["ports"][0];
    let listen = format!("--listen=0.0.0.0:{}", port["containerPort"]);
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&json!(listen)));
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    for probe in ["livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert!(
            api["paths"][get["path"].as_str().unwrap()].is_object(),
            "{get}"
        );
        assert_eq!(get["port"], port["name"]);
    }
    // All of one namespace, all selected by one label.
    for object in &all {
        assert_eq!(
            object["metadata"]["namespace"], "serinus",
            "{}",
            object["kind"]
        );
    }
    let labels = &of_kind(&all, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let budget = &of_kind(&all, "PodDisruptionBudget")["spec"];
    assert_eq!(budget["minAvailable"], 1);
    assert_eq!(budget["selector"]["matchLabels"]["app"], labels["app"]);
    let kustomization = documents(KUSTOMIZATION).remove(0);
    assert_eq!(kustomization["resources"], json!(["judge.yaml"]));
    assert_eq!(kustomization["images"][0]["name"], container["image"]);
}

/// One names every judge, for clusters that resolve it; of the other Istio makes clusters
/// that a filter can call, which it does not of a headless one.
#[test]
fn both_services_are_where_manifests_look_for_them() {
    let all = documents(JUDGE);
    let port = &container(&all)["ports"][0];
    let labels = &of_kind(&all, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let help = {
        let mut command = <Cli as clap::CommandFactory>::command();
        let manifest = command.find_subcommand_mut("manifest").unwrap();
        let istio = manifest.find_subcommand_mut("istio").unwrap();
        istio.render_long_help().to_string()
    };
    // Its lines end where the terminal's do.
    let help: Vec<&str> = help.split_whitespace().collect();
    let help = help.join(" ");
    let services = all.iter().filter(|one| one["kind"] == "Service");
    let mut headless = Vec::new();
    for service in services {
        assert_eq!(service["spec"]["ports"][0]["port"], port["containerPort"]);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
        assert_eq!(service["spec"]["selector"]["app"], labels["app"]);
        let name = |field: &str| service["metadata"][field].as_str().unwrap().to_owned();
        let host = format!("{}.{}.svc.cluster.local", name("name"), name("namespace"));
        let address = format!("{host}:{}", port["containerPort"]);
        assert!(help.contains(&address), "{address} is not in\n{help}");
        let cluster = format!("outbound|{}||{host}", port["containerPort"]);
        let is_headless = service["spec"]["clusterIP"] == "None";
        assert_ne!(help.contains(&cluster), is_headless, "{cluster}\n{help}");
        assert!(KUSTOMIZATION.contains(&name("name")));
        assert!(is_headless || WASM_PLUGIN.contains(&name("name")));
        headless.push(is_headless);
    }
    assert_eq!(headless, [true, false]);
}

/// `docs/operating.md` says so.
#[test]
fn the_image_can_send_traces() {
    let build = DOCKERFILE
        .lines()
        .find(|line| line.contains("-p serinus-cli"));
    assert!(build.unwrap().ends_with(" --features otel"), "{build:?}");
}

#[test]
fn the_judge_may_do_what_it_does_with_a_wasm_plugin_and_no_more() {
    let all = documents(WASM_PLUGIN);
    let (role, binding) = (of_kind(&all, "Role"), of_kind(&all, "RoleBinding"));
    assert_eq!(
        role["rules"],
        json!([{
            "apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"],
            "resourceNames": ["serinus-gateway"], "verbs": ["get", "patch"],
        }])
    );
    let judge = documents(JUDGE);
    let account = &of_kind(&judge, "ServiceAccount")["metadata"];
    let subject = &binding["subjects"][0];
    assert_eq!(
        (&subject["name"], &subject["namespace"]),
        (&account["name"], &account["namespace"])
    );
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let object = format!(
        "{}/serinus-gateway",
        role["metadata"]["namespace"].as_str().unwrap()
    );
    assert!(WASM_PLUGIN.contains(&format!("serinus serve --wasm-plugin {object}`")));
    Cli::try_parse_from(["serinus", "serve", "--wasm-plugin", &object]).unwrap();
}

/// Paths that a release needs and nobody else notices.
#[test]
fn a_release_finds_what_it_takes() {
    let workflow = documents(RELEASE).remove(0);
    let steps = workflow["jobs"]["release"]["steps"].as_array().unwrap();
    assert!(steps.len() > 3, "{steps:?}");
    let targets: Vec<&str> = DOCKERFILE
        .lines()
        .filter_map(|line| line.rsplit_once(" AS ").map(|(_, name)| name))
        .collect();
    for named in RELEASE.split("--target ").skip(1) {
        let named = named.split_whitespace().next().unwrap();
        assert!(targets.contains(&named), "{named} is none of {targets:?}");
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for path in [
        ".ci/run",
        "filter/build-wasm",
        "judge-service/deploy/Dockerfile",
    ] {
        assert!(RELEASE.contains(path) && std::path::Path::new(manifest).join(path).exists());
    }
    // What others made is named by what it is, and not by a name that may move.
    for action in steps.iter().filter_map(|step| step["uses"].as_str()) {
        let (_, commit) = action.split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    // It is checked first, and published when all that it names is there.
    let place = |text: &str| {
        let runs = |step: &Value| step["run"].as_str().is_some_and(|run| run.contains(text));
        steps.iter().position(runs).unwrap()
    };
    let order = [
        ".ci/run",
        "docker build",
        "docker push",
        "gh release create",
    ]
    .map(place);
    assert!(order.is_sorted(), "{order:?}");
    // The workflow compares the tag with this line.
    let workspace = include_str!("../../../Cargo.toml");
    let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(workspace.lines().filter(|line| *line == version).count(), 1);
}
