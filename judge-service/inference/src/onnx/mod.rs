//! ONNX graphs: the operators of exported PyTorch MLPs, CNNs and small
//! transformers, on candle's tensors.
//!
//! A file becomes a [`Plan`] when the model is created, and runs once then with
//! one row and with two: what is not supported and what does not fit is known
//! before the first sample.

mod attributes;
mod builder;
mod conv;
mod direct;
mod elementwise;
mod join;
mod linear;
mod matrix;
mod message;
mod op;
mod padding;
mod plan;
mod pool;
mod product;
mod reduce;
mod run;
mod shaping;
mod tensor;
mod values;
mod wide;
mod window;

use candle_core::{DType, Tensor};
use prost::Message;

use super::InferenceError;
use super::description::{Description, DescriptionError, OutputKind};
use super::error::BuildError;
use super::loaded::Engine;
use plan::Plan;
use values::{make, plain, read, words};

/// Versions of the operators whose meaning is known here.
const VERSIONS: std::ops::RangeInclusive<i64> = 7..=23;

/// What is wrong with an ONNX file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    #[error("is no ONNX file: {0}")]
    Format(String),
    #[error("is cut short: {0}")]
    Truncated(String),
    #[error("{at} {reason}")]
    At { at: String, reason: String },
}

impl OnnxError {
    fn at(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::At {
            at: at.into(),
            reason: reason.into(),
        }
    }
}

/// A graph that takes rows.
pub(crate) struct Onnx {
    plan: Plan,
    /// In the graph's order.
    columns: Vec<Columns>,
    width: usize,
    outputs: usize,
    /// Rows together in one run; a graph that was exported for one row runs for
    /// each alone.
    together: bool,
}

/// The part of a row that is one input.
struct Columns {
    name: String,
    start: usize,
    dims: Vec<usize>,
    dtype: DType,
}

// === impl Onnx ===

impl Onnx {
    /// Reads a file and joins it with a checked description.
    ///
    /// # Errors
    /// A file that is malformed, cut short, not supported or at odds with the
    /// description.
    pub(crate) fn new(description: &Description, bytes: &[u8]) -> Result<Self, BuildError> {
        let plan = plan(bytes, &description.output.name)?;
        let columns = columns(description, &plan)?;
        let mut onnx = Self {
            plan,
            columns,
            width: description.network_width()?,
            outputs: 0,
            together: false,
        };
        let one = onnx.batch(&vec![0.0; onnx.width], 1)?;
        onnx.outputs = one.elem_count();
        if onnx.outputs == 0
            || description.output.kind == OutputKind::Probabilities && one.rank() > 2
        {
            let reason = format!(
                "has shape {:?} for one row, which is not [1, columns]",
                one.dims()
            );
            return Err(
                OnnxError::at(format!("output `{}`", description.output.name), reason).into(),
            );
        }
        let two = onnx.batch(&vec![0.0; 2 * onnx.width], 2);
        let is_batch =
            |two: &Tensor| two.dims().first() == Some(&2) && two.elem_count() == 2 * onnx.outputs;
        onnx.together = onnx.takes_any_batch() && two.is_ok_and(|two| is_batch(&two));
        Ok(onnx)
    }

    fn takes_any_batch(&self) -> bool {
        let fixed =
            |dims: &Option<Vec<Option<i64>>>| matches!(dims.as_deref(), Some([Some(_), ..]));
        !self.plan.inputs.iter().any(|input| fixed(&input.dims))
    }

    fn batch(&self, rows: &[f64], count: usize) -> Result<Tensor, OnnxError> {
        let inputs: Result<Vec<_>, _> = self
            .columns
            .iter()
            .map(|columns| columns.tensor(rows, self.width, count))
            .collect();
        self.plan.run(inputs?)
    }

    fn numbers(&self, rows: &[f64], count: usize) -> Result<Vec<f32>, OnnxError> {
        let output = self.batch(rows, count)?;
        let failed = |reason| OnnxError::at("the graph", reason);
        let output = output.to_dtype(DType::F32).map_err(words).map_err(failed)?;
        let output = plain(&output).map_err(failed)?;
        if output.elem_count() != count * self.outputs {
            let reason = format!(
                "gives shape {:?} for {count} rows of {} numbers",
                output.dims(),
                self.outputs
            );
            return Err(failed(reason));
        }
        read::<f32, _>(&output, <[f32]>::to_vec).map_err(failed)
    }
}

impl Engine for Onnx {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn run(&self, rows: &[f64], count: usize) -> Result<Vec<f32>, InferenceError> {
        if self.together {
            return Ok(self.numbers(rows, count)?);
        }
        let mut outputs = Vec::with_capacity(count * self.outputs);
        for row in rows.chunks(self.width.max(1)) {
            outputs.extend(self.numbers(row, 1)?);
        }
        Ok(outputs)
    }
}

fn plan(bytes: &[u8], output: &str) -> Result<Plan, OnnxError> {
    let model = message::Model::decode(bytes).map_err(|error| {
        let text = error.to_string();
        // The library has no kind for it: a length goes beyond the end.
        if text.contains("buffer underflow") || text.contains("invalid varint") {
            OnnxError::Truncated(text)
        } else {
            OnnxError::Format(text)
        }
    })?;
    let Some(graph) = model.graph else {
        return Err(match model.ir_version {
            Some(_) => OnnxError::Truncated("it has no graph".to_owned()),
            None => OnnxError::Format("it has no graph".to_owned()),
        });
    };
    if !graph.sparse_initializer.is_empty() {
        return Err(OnnxError::at(
            "the graph",
            "has sparse initializers, which are not supported",
        ));
    }
    let own = model
        .opset_import
        .iter()
        .find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")));
    let Some(version) = own.and_then(|set| set.version) else {
        return Err(OnnxError::Truncated(
            "it does not say the version of its operators".to_owned(),
        ));
    };
    if !VERSIONS.contains(&version) {
        let reason = format!(
            "has operators of version {version}, but must have {} to {}",
            VERSIONS.start(),
            VERSIONS.end()
        );
        return Err(OnnxError::at("the graph", reason));
    }
    Plan::new(&graph, version, output)
}

/// Where each input of the graph is in a row.
fn columns(description: &Description, plan: &Plan) -> Result<Vec<Columns>, BuildError> {
    let known: Vec<&str> = plan
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    if let Some(unknown) = description
        .inputs()
        .find(|input| !known.contains(&input.name.as_str()))
    {
        let reason = format!(
            "is `{}`, but the graph's inputs are {known:?}",
            unknown.name
        );
        return Err(DescriptionError::new("input.name", reason).into());
    }
    let width = description.network_width()?;
    let mut columns = Vec::new();
    for input in &plan.inputs {
        let mut start = 0;
        let mut found = None;
        for described in description.inputs() {
            if described.name == input.name {
                found = Some((start, described.shape.clone()));
            }
            start += described.len();
        }
        let Some((start, mut dims)) = found else {
            let reason = format!(
                "the graph takes `{}` as well: describe it in `further_inputs`",
                input.name
            );
            return Err(DescriptionError::new("input", reason).into());
        };
        if width != description.width() {
            if plan.inputs.len() > 1 {
                let reason = "one_hot is supported only for a graph of one input";
                return Err(DescriptionError::new("preprocess", reason).into());
            }
            dims = vec![width];
        }
        check_dims(&input.name, &dims, input.dims.as_deref())?;
        columns.push(Columns {
            name: input.name.clone(),
            start,
            dims,
            dtype: input.dtype,
        });
    }
    Ok(columns)
}

fn check_dims(name: &str, dims: &[usize], graph: Option<&[Option<i64>]>) -> Result<(), BuildError> {
    let Some(graph) = graph else { return Ok(()) };
    let fits = |(own, graph): (&usize, &Option<i64>)| {
        graph.is_none_or(|graph| usize::try_from(graph) == Ok(*own))
    };
    match graph.split_first() {
        Some((None | Some(1), rest))
            if rest.len() == dims.len() && dims.iter().zip(rest).all(fits) =>
        {
            Ok(())
        }
        Some((Some(batch), rest)) if *batch != 1 && rest.len() == dims.len() => {
            let reason =
                format!("has a batch of {batch} fixed: export it with a batch axis of any size");
            Err(OnnxError::at(format!("input `{name}`"), reason).into())
        }
        _ => {
            let shape: Vec<_> = graph
                .iter()
                .map(|dim| dim.map_or("any".to_owned(), |dim| dim.to_string()))
                .collect();
            let reason = format!(
                "{dims:?} after a batch axis is not the graph's [{}]",
                shape.join(", ")
            );
            Err(DescriptionError::new(format!("input.shape of `{name}`"), reason).into())
        }
    }
}

// === impl Columns ===

impl Columns {
    /// The input of some rows: [rows, dims...].
    fn tensor(&self, rows: &[f64], width: usize, count: usize) -> Result<Tensor, OnnxError> {
        let length: usize = self.dims.iter().product();
        let dims: Vec<usize> = std::iter::once(count)
            .chain(self.dims.iter().copied())
            .collect();
        let failed = |reason: String| OnnxError::at(format!("input `{}`", self.name), reason);
        let mut numbers = Vec::with_capacity(count * length);
        for row in rows.chunks(width.max(1)) {
            numbers.extend_from_slice(row.get(self.start..self.start + length).unwrap_or_default());
        }
        match self.dtype {
            DType::F32 => make(numbers.iter().map(|x| *x as f32).collect(), &dims),
            DType::I64 => {
                if let Some(broken) = numbers.iter().find(|x| x.fract() != 0.0) {
                    return Err(failed(format!("has {broken}, but takes whole numbers")));
                }
                make(numbers.iter().map(|x| *x as i64).collect(), &dims)
            }
            _ => make(numbers.iter().map(|x| u8::from(*x != 0.0)).collect(), &dims),
        }
        .map_err(failed)
    }
}

#[cfg(test)]
mod tests;
