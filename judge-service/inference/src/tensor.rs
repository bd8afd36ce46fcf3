//! A tensor from a body: from elements or bytes to checked numbers, and from
//! those to rows and labels. Errors are in words that go after its name.

use std::collections::BTreeMap;

use super::Datatype;
use super::body::shorten;
use super::elements::Elements;
use super::protocol::{Answer, Cause, ProtocolError, Tensors};

/// Why a tensor is not what is needed.
pub(super) type Wrong = (Cause, String);

/// A tensor whose numbers fit its shape.
#[derive(Debug, Default)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    /// NaN where a value is missing, and where a text is.
    pub(super) numbers: Vec<f64>,
    /// As many as numbers, or none.
    pub(super) texts: Vec<String>,
}

pub(super) fn wrong(list: &'static str, name: &str, (cause, reason): Wrong) -> ProtocolError {
    ProtocolError::Tensor {
        list,
        name: shorten(name),
        cause,
        reason,
    }
}

/// Names in an error.
pub(super) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.take(20).map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() {
        "an empty list".to_owned()
    } else {
        shorten(&quoted.join(", "))
    }
}

// === impl Tensor ===

impl Tensor {
    /// JSON data as it lies, nested by its shape.
    pub(super) fn nested(data: Elements) -> Result<Self, Wrong> {
        let shape = data.lengths.clone();
        Self::of(data, shape)
    }

    fn of(data: Elements, shape: Vec<usize>) -> Result<Self, Wrong> {
        if let Some(problem) = data.problem {
            return Err((Cause::Shape, format!("its data {problem}")));
        }
        if !data.texts.is_empty() && data.texts.len() != data.numbers.len() {
            return Err((
                Cause::Datatype,
                "its data has texts beside numbers".to_owned(),
            ));
        }
        if data.numbers.is_empty() {
            return Err((
                Cause::Shape,
                format!("has shape {shape:?}, and must not be empty"),
            ));
        }
        Ok(Self {
            shape,
            numbers: data.numbers,
            texts: data.texts,
        })
    }

    /// JSON data, flat or nested, checked against what is announced.
    pub(super) fn announced(data: Elements, shape: &[u64], datatype: &str) -> Result<Self, Wrong> {
        let sizes = sizes(shape)?;
        let (booleans, nulls, lengths) = (data.has_booleans, data.has_nulls, data.lengths.clone());
        let flat = lengths.len() == 1;
        if let Some(problem) = data.problem {
            return Err((Cause::Shape, format!("its data {problem}")));
        }
        if product(&sizes) != Some(data.numbers.len())
            || data.numbers.is_empty()
            || !(flat || lengths == sizes)
        {
            let shape = shorten(&format!("{shape:?}"));
            return Err((
                Cause::Shape,
                format!(
                    "has shape {shape}, but its data has {lengths:?}: they must be equal, flat or nested, and not empty"
                ),
            ));
        }
        let kind = known(datatype)?;
        let name = kind.name();
        if booleans && kind != Datatype::Bool {
            return Err((
                Cause::Datatype,
                format!("has booleans in its data, but its datatype is {name}"),
            ));
        }
        if data.texts.is_empty() == (kind == Datatype::Bytes) {
            let what = if kind == Datatype::Bytes {
                "no texts"
            } else {
                "a text"
            };
            return Err((
                Cause::Datatype,
                format!("has {what} in its data, but its datatype is {name}"),
            ));
        }
        if nulls && kind.is_whole() {
            return Err((
                Cause::NotFinite,
                format!("has a null in its data, which is not a value of {name}"),
            ));
        }
        let is_value = |number: &f64| number.is_nan() || kind.holds(*number);
        if let Some(number) = data.numbers.iter().find(|number| !is_value(number)) {
            return Err((
                Cause::Range,
                format!("has {number} in its data, which is not a value of {name}"),
            ));
        }
        Self::of(data, sizes)
    }

    /// Bytes of the binary extension.
    pub(super) fn binary(raw: &[u8], shape: &[u64], datatype: &str) -> Result<Self, Wrong> {
        let sizes = sizes(shape)?;
        let kind = known(datatype)?;
        let total = product(&sizes).filter(|total| *total > 0);
        let Some(total) = total else {
            return Err((
                Cause::Shape,
                format!("has shape {sizes:?}, which is empty or too large"),
            ));
        };
        let Some(size) = kind.size() else {
            return Self::binary_texts(raw, sizes, total);
        };
        if total.checked_mul(size) != Some(raw.len()) {
            return Err((
                Cause::Shape,
                format!(
                    "has {} bytes of {}, but its shape {sizes:?} needs {total} elements of {size}",
                    raw.len(),
                    kind.name()
                ),
            ));
        }
        Ok(Self {
            shape: sizes,
            numbers: kind.elements(raw),
            texts: Vec::new(),
        })
    }

    /// Each text after its length in four bytes.
    fn binary_texts(mut raw: &[u8], shape: Vec<usize>, total: usize) -> Result<Self, Wrong> {
        let mut texts = Vec::new();
        while let Some((length, rest)) = raw.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((text, rest)) = rest.split_at_checked(length) else {
                break;
            };
            texts.push(String::from_utf8_lossy(text).into_owned());
            raw = rest;
        }
        if !raw.is_empty() || texts.len() != total {
            return Err((
                Cause::Shape,
                format!(
                    "has {} whole texts, but its shape {shape:?} needs {total}",
                    texts.len()
                ),
            ));
        }
        Ok(Self {
            shape,
            numbers: vec![f64::NAN; total],
            texts,
        })
    }

    /// The rows of an input of shape `own`, or that with a batch size before it.
    pub(super) fn input_rows(
        &self,
        own: &[usize],
        takes_missing: bool,
    ) -> Result<Vec<&[f64]>, Wrong> {
        let is_batch = self
            .shape
            .split_first()
            .is_some_and(|(_, rest)| rest == own);
        // A column of a table: each number is a row.
        let is_column = own == [1] && self.shape.len() == 1;
        if !is_batch && !is_column && self.shape != own {
            return Err((
                Cause::Shape,
                format!(
                    "has shape {:?}, but must have {own:?} or that with a batch size before it",
                    self.shape
                ),
            ));
        }
        if !self.texts.is_empty() {
            return Err((
                Cause::Datatype,
                "has texts, but must have numbers".to_owned(),
            ));
        }
        let is_bad = |number: &&f64| number.is_infinite() || number.is_nan() && !takes_missing;
        if let Some(bad) = self.numbers.iter().find(is_bad) {
            let bad = if bad.is_nan() {
                "a null or NaN".to_owned()
            } else {
                bad.to_string()
            };
            return Err((
                Cause::NotFinite,
                format!("has {bad} in its data, but must have finite numbers"),
            ));
        }
        let beyond = |number: &&f64| number.abs() > f64::from(f32::MAX);
        if let Some(number) = self.numbers.iter().find(beyond) {
            return Err((
                Cause::Range,
                format!("has {number:e}, which is beyond the range of FP32"),
            ));
        }
        Ok(self
            .numbers
            .chunks(product(own).unwrap_or(0).max(1))
            .collect())
    }

    /// The rows of an output of shape [n, columns], or [n] for one column.
    pub(super) fn output_rows(&self) -> Result<Vec<Vec<f32>>, Wrong> {
        let width = match *self.shape {
            [_] => 1,
            [_, width] => width,
            _ => {
                return Err((
                    Cause::Shape,
                    format!("has shape {:?}, but must have [n, columns]", self.shape),
                ));
            }
        };
        if !self.texts.is_empty() {
            return Err((
                Cause::Datatype,
                "has texts, but must have numbers".to_owned(),
            ));
        }
        let narrow = |number: &f64| {
            let narrow = *number as f32;
            if narrow.is_finite() {
                return Ok(narrow);
            }
            Err(if number.is_finite() {
                (
                    Cause::Range,
                    format!("has {number:e}, which is beyond the range of FP32"),
                )
            } else {
                (
                    Cause::NotFinite,
                    format!("has {number}, but must have finite numbers"),
                )
            })
        };
        let rows = self.numbers.chunks(width.max(1));
        rows.map(|row| row.iter().map(narrow).collect()).collect()
    }

    /// The labels of an output of shape [n] or [n, 1]: whole numbers, their texts,
    /// or names that have a label.
    pub(super) fn labels(&self, names: &BTreeMap<String, i64>) -> Result<Vec<i64>, Wrong> {
        // 2^53: up to here a JSON number, read as a double, is exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !matches!(*self.shape, [_] | [_, 1]) {
            return Err((
                Cause::Shape,
                format!("has shape {:?}, but must have [n] or [n, 1]", self.shape),
            ));
        }
        if !self.texts.is_empty() {
            let label = |text: &String| {
                let known = names.get(text).copied().or_else(|| text.parse().ok());
                known.ok_or_else(|| {
                    (
                        Cause::Range,
                        format!(
                            "has `{}`, which is no label and has none in `label_names`",
                            shorten(text)
                        ),
                    )
                })
            };
            return self.texts.iter().map(label).collect();
        }
        let label = |&number: &f64| {
            if number.fract() == 0.0 && number.abs() <= EXACT {
                Ok(number as i64)
            } else {
                Err((
                    Cause::Range,
                    format!("has {number}, but a label must be a whole number within 2^53"),
                ))
            }
        };
        self.numbers.iter().map(label).collect()
    }
}

/// Rows of one request that are looked at: a few bytes of it, well packed, may stand for
/// millions.
const MAX_ROWS: usize = 1_024;

/// Joins the inputs of a model to rows: each input has the same number of them.
pub(super) fn joined(
    tensors: &Tensors,
    list: &'static str,
    found: &[Tensor],
) -> Result<Vec<Vec<f64>>, ProtocolError> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (index, (input, tensor)) in tensors.inputs.iter().zip(found).enumerate() {
        let failed = |why| wrong(list, &input.name, why);
        let parts = tensor
            .input_rows(&input.shape, tensors.takes_missing)
            .map_err(failed)?;
        if parts.len() > MAX_ROWS {
            return Err(failed((
                Cause::TooLarge,
                format!("has {} rows; at most {MAX_ROWS} are read", parts.len()),
            )));
        }
        if index == 0 {
            rows = parts.into_iter().map(<[f64]>::to_vec).collect();
            continue;
        }
        if parts.len() != rows.len() {
            return Err(failed((
                Cause::Shape,
                format!(
                    "has {} rows, but the input before it has {}",
                    parts.len(),
                    rows.len()
                ),
            )));
        }
        for (row, part) in rows.iter_mut().zip(parts) {
            row.extend_from_slice(part);
        }
    }
    Ok(rows)
}

/// An answer from the two outputs that are looked for.
pub(super) fn answer(
    tensors: &Tensors,
    list: &'static str,
    labels: Option<&Tensor>,
    numbers: Option<&Tensor>,
    found: impl FnOnce() -> String,
) -> Result<Answer, ProtocolError> {
    let (label, probabilities) = (&tensors.label_output, &tensors.probabilities_output);
    if labels.is_none() && numbers.is_none() {
        return Err(ProtocolError::Missing {
            list,
            wanted: format!("`{label}` or `{probabilities}`"),
            found: found(),
        });
    }
    let labels = labels
        .map(|tensor| tensor.labels(&tensors.label_names))
        .transpose();
    let numbers = numbers.map(Tensor::output_rows).transpose();
    Ok(Answer {
        labels: labels.map_err(|why| wrong(list, label, why))?,
        probabilities: numbers.map_err(|why| wrong(list, probabilities, why))?,
    })
}

fn sizes(shape: &[u64]) -> Result<Vec<usize>, Wrong> {
    let sizes: Option<Vec<usize>> = shape
        .iter()
        .map(|size| usize::try_from(*size).ok())
        .collect();
    sizes.ok_or_else(|| {
        (
            Cause::Shape,
            format!("has shape {}", shorten(&format!("{shape:?}"))),
        )
    })
}

fn product(sizes: &[usize]) -> Option<usize> {
    sizes
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul(*size))
}

fn known(datatype: &str) -> Result<Datatype, Wrong> {
    Datatype::from_name(datatype).ok_or_else(|| {
        let name = shorten(datatype);
        (Cause::Datatype, format!("has datatype `{name}`, but must have BOOL, INT8..INT64, UINT8..UINT64, FP16, BF16, FP32, FP64 or BYTES"))
    })
}
