//! What one method of one path does, as it is described.

use super::{Schemas, inline};
use crate::access::{Needs, Role};
use crate::api::problem::Problem;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

type Make = fn(&mut SchemaGenerator) -> Schema;

pub struct Operation {
    method: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Body>,
    answers: Vec<Answer>,
    problems: Vec<u16>,
    needs: Needs,
}

struct Body {
    schema: Make,
    required: bool,
    /// Fields that nobody knows are refused.
    strict: bool,
    example: Option<Value>,
}

struct Answer {
    status: u16,
    says: &'static str,
    content: Content,
    headers: Vec<(&'static str, &'static str)>,
}

enum Content {
    Nothing,
    Json(Make),
    /// Server-sent events, of which each is described.
    Events,
    /// Text of this type.
    Text(&'static str),
}

/// What is looked at is for viewers, if nothing else is said.
pub fn get(id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", id, summary, Needs::Viewer)
}

/// What changes something is for operators, if nothing else is said, and is refused to
/// pages of other sites.
pub fn post(id: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", id, summary, Needs::Operator).refuses(&[400, 403, 408, 413])
}

pub fn delete(id: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", id, summary, Needs::Operator).refuses(&[400, 403, 408, 413])
}

impl Operation {
    fn new(method: &'static str, id: &'static str, summary: &'static str, needs: Needs) -> Self {
        Self {
            method,
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            // A judge that does not reach its database, or is not the one that judges.
            problems: vec![503],
            needs,
        }
    }

    pub fn method(&self) -> &'static str {
        self.method
    }

    pub fn asks_for(&self) -> Needs {
        self.needs
    }

    pub fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    pub fn query(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.parameter("query", name, says, schema).refuses(&[400])
    }

    fn header(self, name: &'static str, says: &'static str, schema: Value) -> Self {
        self.parameter("header", name, says, schema).refuses(&[400])
    }

    fn parameter(mut self, place: &str, name: &str, says: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": place, "required": false, "description": says, "schema": schema,
        }));
        self
    }

    /// What a person writes: no field that is not known.
    pub fn takes<T: JsonSchema>(self) -> Self {
        self.body::<T>(true, true)
    }

    pub fn may_take<T: JsonSchema>(self) -> Self {
        self.body::<T>(false, true)
    }

    /// What a program of maybe another version writes.
    pub fn takes_tolerantly<T: JsonSchema>(self) -> Self {
        self.body::<T>(true, false)
    }

    fn body<T: JsonSchema>(mut self, required: bool, strict: bool) -> Self {
        self.body = Some(Body {
            schema: SchemaGenerator::subschema_for::<T>,
            required,
            strict,
            example: None,
        });
        self
    }

    /// A body that the judge takes.
    pub fn such_as(mut self, example: Value) -> Self {
        if let Some(body) = &mut self.body {
            body.example = Some(example);
        }
        self
    }

    /// Only if the rollout is still as it was looked at.
    pub fn if_match(self) -> Self {
        self.header(
            "If-Match",
            "The ETag of the rollout as it was looked at: nothing is done to one that has changed since.",
            json!({"type": "string"}),
        )
        .refuses(&[412])
    }

    pub fn if_none_match(self) -> Self {
        self.header(
            "If-None-Match",
            "The ETag of the rollout as it is known: 304 as long as nothing was decided.",
            json!({"type": "string"}),
        )
    }

    /// Nothing is done twice under one key.
    pub fn idempotent(self) -> Self {
        self.header(
            "Idempotency-Key",
            "What is asked again with the same key, for want of an answer, is not done again.",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}),
        )
        .refuses(&[422])
    }

    pub fn gives<T: JsonSchema>(self, status: u16, says: &'static str) -> Self {
        self.answer(
            status,
            says,
            Content::Json(SchemaGenerator::subschema_for::<T>),
        )
    }

    pub fn gives_nothing(self, status: u16, says: &'static str) -> Self {
        self.answer(status, says, Content::Nothing)
    }

    pub fn gives_events(self, status: u16, says: &'static str) -> Self {
        self.answer(status, says, Content::Events)
    }

    pub fn gives_text(self, status: u16, kind: &'static str, says: &'static str) -> Self {
        self.answer(status, says, Content::Text(kind))
    }

    fn answer(mut self, status: u16, says: &'static str, content: Content) -> Self {
        self.answers.push(Answer {
            status,
            says,
            content,
            headers: Vec::new(),
        });
        self
    }

    /// The last answer has this header.
    pub fn with_header(mut self, name: &'static str, says: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, says));
        }
        self
    }

    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// The operation object of OpenAPI.
    pub(super) fn describe(mut self, path: &str, schemas: &mut Schemas) -> Value {
        let parameters = in_path(path).chain(self.parameters).collect::<Vec<_>>();
        let mut responses = Map::new();
        for answer in self.answers {
            let status = answer.status.to_string();
            responses.insert(status, answer.describe(schemas));
        }
        if self.needs != Needs::Nothing {
            self.problems.extend([401, 403]);
        }
        if self.needs == Needs::Operator && self.method != "get" {
            self.problems.push(429);
        }
        self.problems.sort_unstable();
        self.problems.dedup();
        for status in self.problems {
            let problem = schemas.answered.subschema_for::<Problem>();
            let title = Problem::title(status);
            responses.insert(
                status.to_string(),
                json!({
                    "description": title,
                    "content": {"application/problem+json": {"schema": inline(problem)}},
                }),
            );
        }
        let mut operation = Map::new();
        let mut put = |name: &str, value: Value| operation.insert(name.to_owned(), value);
        put("operationId", self.id.into());
        put("summary", self.summary.into());
        put("responses", responses.into());
        put("security", security(self.needs));
        if !parameters.is_empty() {
            put("parameters", parameters.into());
        }
        if let Some(body) = self.body {
            let schema = inline((body.schema)(&mut schemas.asked));
            if body.strict {
                schemas.strict.push(schema.clone());
            }
            let mut content = Map::new();
            content.insert("schema".to_owned(), schema);
            if let Some(example) = body.example {
                content.insert("example".to_owned(), example);
            }
            let content = json!({"application/json": content});
            put(
                "requestBody",
                json!({"required": body.required, "content": content}),
            );
        }
        operation.into()
    }
}

impl Answer {
    fn describe(self, schemas: &mut Schemas) -> Value {
        let mut described = Map::new();
        let mut put = |name: &str, value: Value| described.insert(name.to_owned(), value);
        put("description", self.says.into());
        match self.content {
            Content::Nothing => {}
            Content::Text(kind) => {
                put("content", json!({ kind: {"schema": {"type": "string"}} }));
            }
            Content::Json(schema) => {
                let schema = inline(schema(&mut schemas.answered));
                put("content", json!({"application/json": {"schema": schema}}));
            }
            Content::Events => {
                let event = json!({
                    "type": "object",
                    "required": ["event", "data"],
                    "properties": {
                        "event": {"type": "string"},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                });
                put("content", json!({"text/event-stream": {"schema": event}}));
            }
        }
        let headers = self.headers.into_iter().map(|(name, says)| {
            let header = json!({"description": says, "schema": {"type": "string"}});
            (name.to_owned(), header)
        });
        let headers: Map<String, Value> = headers.collect();
        if !headers.is_empty() {
            put("headers", headers.into());
        }
        described.into()
    }
}

/// Each of these is enough. Beside a way to say who one is, OpenAPI has room for the roles
/// that are needed.
fn security(needs: Needs) -> Value {
    let ways = needs.roles().iter().flat_map(|role| {
        let other = match role {
            Role::Proxy => "certificate",
            Role::Viewer | Role::Operator => "cookie",
        };
        ["token", other].map(|way| json!({way: [role]}))
    });
    ways.collect()
}

/// Names between braces.
fn in_path(path: &str) -> impl Iterator<Item = Value> {
    let parts = path.split('/');
    let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let schema = match name {
            "sequence" => json!({"type": "integer", "minimum": 1, "maximum": u64::MAX}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    })
}
