//! An API server for one kind of object: it keeps what it is given and who owns which
//! field, speaks server-side apply, and can be away, slow or in trouble.

mod fields;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use fields::{Fields, leaves, remove};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct Kubernetes {
    state: Arc<Mutex<Known>>,
    port: u16,
}

#[derive(Default)]
pub struct Known {
    objects: HashMap<String, Object>,
    /// Whose tokens are known; with none, nobody has to have one.
    pub tokens: BTreeMap<String, &'static str>,
    pub trouble: Option<Trouble>,
    /// Patches that changed something: when, and whose token it was.
    pub writes: Vec<(Instant, String)>,
    pub reads: usize,
}

#[derive(Clone, Copy)]
pub enum Trouble {
    Answers(u16),
    Hangs,
}

#[derive(Clone, Default)]
struct Object {
    whole: Value,
    owned: BTreeMap<String, Fields>,
    version: u64,
}

const PATH: &str = "/apis/extensions.istio.io/v1alpha1/namespaces/{namespace}/wasmplugins/{name}";

impl Kubernetes {
    pub async fn start() -> Self {
        Self::at(0).await
    }

    pub async fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let kubernetes = Self {
            state: Arc::default(),
            port: listener.local_addr().unwrap().port(),
        };
        let router = Router::new()
            .route(PATH, routing::get(get).patch(patch))
            .with_state(kubernetes.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        kubernetes
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap()
    }

    /// The object as a client gets it.
    pub fn object(&self, key: &str) -> Value {
        self.known()
            .objects
            .get(key)
            .map(Object::shown)
            .unwrap_or_default()
    }

    /// What `kubectl apply --server-side` does.
    pub fn kubectl(&self, key: &str, object: &Value) {
        let mut known = self.known();
        let kept = known.objects.entry(key.to_owned()).or_default();
        kept.apply("kubectl", object, true).unwrap();
    }

    /// What `kubectl replace` does: the object is this one and nothing else.
    pub fn replace(&self, key: &str, object: &Value) {
        let mut known = self.known();
        let version = known.objects.remove(key).map_or(0, |object| object.version);
        let mut kept = Object {
            version,
            ..Object::default()
        };
        kept.apply("kubectl", object, true).unwrap();
        known.objects.insert(key.to_owned(), kept);
    }
}

impl Object {
    /// Whether anything changed; else the conflicts: field and owner.
    fn apply(
        &mut self,
        manager: &str,
        given: &Value,
        force: bool,
    ) -> Result<bool, Vec<(String, String)>> {
        let wanted = leaves(&given["spec"]);
        let others = self.owned.iter().filter(|(other, _)| *other != manager);
        let conflicts: Vec<(String, String)> = others
            .flat_map(|(other, fields)| {
                let conflict = |(path, value): (&String, &Value)| {
                    let differs = fields.get(path).is_some_and(|theirs| theirs != value);
                    differs.then(|| (path.clone(), other.clone()))
                };
                wanted.iter().filter_map(conflict)
            })
            .collect();
        if !conflicts.is_empty() && !force {
            return Err(conflicts);
        }
        for (path, other) in &conflicts {
            self.owned.get_mut(other).unwrap().remove(path);
        }
        let before = self.whole.clone();
        // What it does not name any more and nobody else owns goes.
        let old = self
            .owned
            .insert(manager.to_owned(), wanted.clone())
            .unwrap_or_default();
        for path in old.keys().filter(|path| !wanted.contains_key(*path)) {
            if !self.owned.values().any(|fields| fields.contains_key(path)) {
                remove(&mut self.whole["spec"], path);
            }
        }
        for name in ["apiVersion", "kind", "metadata"] {
            if self.whole[name].is_null() {
                self.whole[name] = given[name].clone();
            }
        }
        for (path, value) in &wanted {
            fields::put(&mut self.whole["spec"], path, value);
        }
        let changed = self.whole != before;
        self.version += u64::from(changed);
        Ok(changed)
    }

    fn shown(&self) -> Value {
        let mut whole = self.whole.clone();
        whole["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let owners: Vec<Value> = self
            .owned
            .iter()
            .map(|(manager, fields)| {
                json!({"manager": manager, "operation": "Apply", "fields": fields.keys().collect::<Vec<_>>()})
            })
            .collect();
        whole["metadata"]["managedFields"] = json!(owners);
        whole
    }
}

fn status(code: u16, message: &str, causes: &Value) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": message, "details": {"causes": causes},
    });
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

/// Who asks; or else what they are told.
async fn who(kubernetes: &Kubernetes, headers: &HeaderMap) -> Result<String, Response> {
    let trouble = kubernetes.known().trouble;
    match trouble {
        Some(Trouble::Hangs) => std::future::pending().await,
        Some(Trouble::Answers(code)) => Err(status(code, "in trouble", &json!([]))),
        None => {
            let known = kubernetes.known();
            let given = headers.get(header::AUTHORIZATION);
            let given = given.and_then(|given| given.to_str().ok()?.strip_prefix("Bearer "));
            if known.tokens.is_empty() {
                return Ok("anybody".to_owned());
            }
            let name = given.and_then(|token| known.tokens.get(token));
            name.map(|name| (*name).to_owned())
                .ok_or_else(|| status(401, "Unauthorized", &json!([])))
        }
    }
}

async fn get(
    State(kubernetes): State<Kubernetes>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(answer) = who(&kubernetes, &headers).await {
        return answer;
    }
    let key = format!("{namespace}/{name}");
    kubernetes.known().reads += 1;
    match kubernetes.object(&key) {
        Value::Null => status(
            404,
            &format!("wasmplugins \"{name}\" not found"),
            &json!([]),
        ),
        object => Json(object).into_response(),
    }
}

async fn patch(
    State(kubernetes): State<Kubernetes>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let who = match who(&kubernetes, &headers).await {
        Ok(who) => who,
        Err(answer) => return answer,
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap());
    let given: Value = serde_json::from_slice(&body).unwrap();
    let is_apply = kind == Some("application/apply-patch+yaml")
        && given["apiVersion"] == "extensions.istio.io/v1alpha1"
        && given["kind"] == "WasmPlugin"
        && given["metadata"]["namespace"] == namespace
        && given["metadata"]["name"] == name;
    if !is_apply {
        return status(415, "that is no apply", &json!([]));
    }
    let (manager, force) = (&query["fieldManager"], query["force"] == "true");
    let key = format!("{namespace}/{name}");
    let mut known = kubernetes.known();
    let Some(object) = known.objects.get_mut(&key) else {
        // It would be made, but for the field that every WasmPlugin must have.
        return status(422, "spec.url: Required value", &json!([]));
    };
    let version = given["metadata"]["resourceVersion"].as_str();
    if version.is_none_or(|version| version != object.version.to_string()) {
        let message =
            "the object has been modified; please apply your changes to the latest version";
        return status(409, message, &json!([]));
    }
    match object.apply(manager, &given, force) {
        Ok(changed) => {
            let shown = object.shown();
            if changed {
                known.writes.push((Instant::now(), who));
            }
            Json(shown).into_response()
        }
        Err(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|(field, owner)| {
                    json!({
                        "reason": "FieldManagerConflict",
                        "message": format!("conflict with \"{owner}\" using extensions.istio.io/v1alpha1"),
                        "field": format!(".spec{}", field.replace('/', ".")),
                    })
                })
                .collect();
            let message = format!("Apply failed with {} conflicts", causes.len());
            status(409, &message, &json!(causes))
        }
    }
}
