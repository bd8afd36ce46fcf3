//! The Open Inference Protocol, version 2, over JSON, with its binary tensors.
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>
//! and, for the binary tensors, `docs/protocol/extension_binary_data.md` of Triton.
//!
//! KServe, MLServer, Triton and Seldon speak it.

use serde::Deserialize;

use super::Model;
use super::body::{Message, shorten};
use super::elements::Elements;
use super::protocol::{Answer, Cause, Protocol, ProtocolError, Renamed, Tensors};
use super::tensor::{Tensor, Wrong, answer, joined, quoted, wrong};
use super::write;

/// The protocol with the names and the shapes that a model's server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInference {
    pub tensors: Tensors,
}

/// An inference request, as a server wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The client's id for the request, to be sent back.
    pub id: Option<String>,
    pub rows: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct RequestBody {
    id: Option<String>,
    inputs: Vec<TensorBody>,
}

#[derive(Deserialize)]
struct ResponseBody {
    outputs: Vec<TensorBody>,
}

#[derive(Deserialize)]
struct TensorBody {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    /// Absent where the tensor is in the binary extension, or in shared memory.
    data: Option<Elements>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    binary_data_size: Option<u64>,
}

// === impl OpenInference ===

impl OpenInference {
    /// The protocol for a model whose server names its tensors as the description does.
    pub fn for_model(model: &dyn Model) -> Self {
        Self {
            tensors: Tensors::for_model(model, &Renamed::default()),
        }
    }

    /// Reads a request with its id.
    ///
    /// # Errors
    /// As [`Protocol::request`].
    pub fn parse_request(&self, body: &[u8]) -> Result<Request, ProtocolError> {
        let (id, rows) = self.read_request(&Message::new(body))?;
        let narrow = |row: Vec<f64>| row.into_iter().map(|number| number as f32).collect();
        Ok(Request {
            id,
            rows: rows.into_iter().map(narrow).collect(),
        })
    }

    fn read_request(
        &self,
        message: &Message<'_>,
    ) -> Result<(Option<String>, Vec<Vec<f64>>), ProtocolError> {
        const LIST: &str = "inputs";
        let body = message.decoded()?;
        let (request, raw) = parse::<RequestBody>(&body, message.header_length)?;
        let found = Found::new(LIST, &request.inputs, raw)?;
        let mut inputs = Vec::with_capacity(self.tensors.inputs.len());
        let names = || quoted(request.inputs.iter().map(|tensor| tensor.name.as_str()));
        for input in &self.tensors.inputs {
            let tensor = found.take(request.inputs.as_slice(), &input.name)?;
            inputs.push(tensor.ok_or_else(|| ProtocolError::Missing {
                list: LIST,
                wanted: format!("`{}`", input.name),
                found: names(),
            })?);
        }
        Ok((request.id, joined(&self.tensors, LIST, &inputs)?))
    }
}

impl Protocol for OpenInference {
    fn request(&self, message: &Message<'_>) -> Result<Vec<Vec<f64>>, ProtocolError> {
        Ok(self.read_request(message)?.1)
    }

    fn write_request(&self, rows: &[Vec<f64>]) -> Vec<u8> {
        let body = write::open_inference_request(&self.tensors, rows);
        body.to_string().into_bytes()
    }

    fn write_response(&self, answer: &Answer) -> Vec<u8> {
        let body = write::open_inference_response(&self.tensors, answer);
        body.to_string().into_bytes()
    }

    fn response(&self, message: &Message<'_>) -> Result<Answer, ProtocolError> {
        const LIST: &str = "outputs";
        let body = message.decoded()?;
        let (response, raw) = parse::<ResponseBody>(&body, message.header_length)?;
        let outputs = response.outputs.as_slice();
        let found = Found::new(LIST, outputs, raw)?;
        let labels = found.take(outputs, &self.tensors.label_output)?;
        let numbers = found.take(outputs, &self.tensors.probabilities_output)?;
        let names = || quoted(outputs.iter().map(|tensor| tensor.name.as_str()));
        answer(
            &self.tensors,
            LIST,
            labels.as_ref(),
            numbers.as_ref(),
            names,
        )
    }
}

/// The JSON of a message, and the bytes behind it.
fn parse<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    header_length: Option<usize>,
) -> Result<(T, &[u8]), ProtocolError> {
    let malformed =
        |error: serde_json::Error| ProtocolError::Malformed(shorten(&error.to_string()));
    if let Some(length) = header_length {
        let (json, raw) = body.split_at_checked(length).ok_or_else(|| {
            ProtocolError::Malformed(format!(
                "its JSON should have {length} bytes, but it has only {}",
                body.len()
            ))
        })?;
        return Ok((serde_json::from_slice(json).map_err(malformed)?, raw));
    }
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<T>();
    let value = match values.next() {
        Some(value) => value.map_err(malformed)?,
        None => {
            return Err(malformed(serde::de::Error::custom(
                "EOF while parsing a value",
            )));
        }
    };
    let raw = body.get(values.byte_offset()..).unwrap_or_default();
    Ok((value, raw))
}

/// Where the bytes of each tensor are: behind each other, in the order of the list.
struct Found<'a> {
    list: &'static str,
    raw: Vec<Option<&'a [u8]>>,
}

impl<'a> Found<'a> {
    fn new(
        list: &'static str,
        tensors: &[TensorBody],
        mut rest: &'a [u8],
    ) -> Result<Self, ProtocolError> {
        let mut raw = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let size = tensor
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.binary_data_size);
            let Some(size) = size else {
                raw.push(None);
                continue;
            };
            let parts = usize::try_from(size)
                .ok()
                .and_then(|size| rest.split_at_checked(size));
            let (own, after) = parts.ok_or_else(|| {
                let reason = format!(
                    "should have {size} bytes after the JSON, but only {} are left",
                    rest.len()
                );
                wrong(list, &tensor.name, (Cause::Shape, reason))
            })?;
            raw.push(Some(own));
            rest = after;
        }
        if !rest.trim_ascii().is_empty() {
            return Err(ProtocolError::Malformed(format!(
                "trailing characters: {} bytes that belong to no tensor",
                rest.len()
            )));
        }
        Ok(Self { list, raw })
    }

    /// The one tensor of that name, checked; `None` if there is none.
    fn take(&self, tensors: &[TensorBody], name: &str) -> Result<Option<Tensor>, ProtocolError> {
        let mut named = tensors
            .iter()
            .zip(&self.raw)
            .filter(|(tensor, _)| tensor.name == name);
        let Some((tensor, raw)) = named.next() else {
            return Ok(None);
        };
        if named.next().is_some() {
            let reason = "is there twice, but must be there once".to_owned();
            return Err(wrong(self.list, name, (Cause::Missing, reason)));
        }
        let read = tensor.read(*raw);
        read.map(Some).map_err(|why| wrong(self.list, name, why))
    }
}

// === impl TensorBody ===

impl TensorBody {
    fn read(&self, raw: Option<&[u8]>) -> Result<Tensor, Wrong> {
        match (&self.data, raw) {
            (Some(data), None) => Tensor::announced(data.clone(), &self.shape, &self.datatype),
            (None, Some(raw)) => Tensor::binary(raw, &self.shape, &self.datatype),
            (Some(_), Some(_)) => Err((Cause::Shape, "has data in JSON and in bytes".to_owned())),
            (None, None) => Err((
                Cause::Missing,
                "has no data, neither in JSON nor in bytes".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
