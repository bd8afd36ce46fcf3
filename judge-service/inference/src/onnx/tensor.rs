//! Tensors of an ONNX file as candle tensors of three types: float32, int64 and
//! booleans (as u8).

use candle_core::{DType, Device, Tensor};

use super::message::TensorData;

/// 64 million: 256 MiB as float32.
pub(super) const MAX_ELEMENTS: usize = 64 * 1024 * 1024;

/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;
const INT64: i32 = 7;
const BOOL: i32 = 9;
const DOUBLE: i32 = 11;

/// The type that a value of an ONNX type is computed in.
///
/// # Errors
/// A type that is not supported, by its name.
pub(super) fn computed_as(data_type: i32) -> Result<DType, String> {
    Ok(match data_type {
        FLOAT | DOUBLE => DType::F32,
        UINT8 | INT8 | INT32 | INT64 => DType::I64,
        BOOL => DType::U8,
        other => {
            return Err(format!(
                "has element type {}, but must have FLOAT, DOUBLE, INT8, UINT8, INT32, INT64 or BOOL",
                name(other)
            ));
        }
    })
}

fn name(data_type: i32) -> String {
    let known = match data_type {
        4 => "UINT16",
        5 => "INT16",
        8 => "STRING",
        10 => "FLOAT16",
        12 => "UINT32",
        13 => "UINT64",
        14 => "COMPLEX64",
        15 => "COMPLEX128",
        16 => "BFLOAT16",
        17..=20 => "FLOAT8",
        21 => "UINT4",
        22 => "INT4",
        other => return format!("{other}"),
    };
    known.to_owned()
}

/// The size of a tensor of these dimensions.
///
/// # Errors
/// A negative dimension, or too many elements.
pub(super) fn size(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let sizes = sizes.ok_or_else(|| format!("has shape {dims:?}, with a negative size"))?;
    let total = sizes
        .iter()
        .try_fold(1_usize, |total, size| total.checked_mul(*size));
    match total {
        Some(total) if total <= MAX_ELEMENTS => Ok((sizes, total)),
        _ => Err(format!(
            "has shape {dims:?}, which is more than {MAX_ELEMENTS} elements"
        )),
    }
}

/// Reads a constant.
///
/// # Errors
/// A type that is not supported, data that does not fill the shape, or a float
/// that is NaN. (Infinities are used as masks.)
pub(super) fn read(data: &TensorData) -> Result<Tensor, String> {
    let (dims, total) = size(&data.dims)?;
    if !data.external_data.is_empty() {
        return Err(
            "has its data in another file, which is not read: export with the weights inside"
                .to_owned(),
        );
    }
    let data_type = data.data_type.unwrap_or_default();
    let dtype = computed_as(data_type)?;
    let raw = data.raw_data.as_deref();
    let short = |found: usize| format!("has {found} elements, but its shape {dims:?} has {total}");
    let tensor = match data_type {
        FLOAT => floats(
            raw.map_or_else(
                || data.float_data.clone(),
                |raw| words(raw, f32::from_le_bytes),
            ),
            &dims,
            total,
            short,
        ),
        DOUBLE => {
            let wide = raw.map_or_else(
                || data.double_data.clone(),
                |raw| words(raw, f64::from_le_bytes),
            );
            floats(
                wide.into_iter().map(|number| number as f32).collect(),
                &dims,
                total,
                short,
            )
        }
        _ => {
            let of_words = || {
                data.int32_data
                    .iter()
                    .map(|number| i64::from(*number))
                    .collect()
            };
            let numbers: Vec<i64> = match (data_type, raw) {
                (INT64, None) => data.int64_data.clone(),
                (INT64, Some(raw)) => words(raw, i64::from_le_bytes),
                (_, None) => of_words(),
                (INT32, Some(raw)) => words(raw, i32::from_le_bytes)
                    .into_iter()
                    .map(i64::from)
                    .collect(),
                (INT8, Some(raw)) => raw
                    .iter()
                    .map(|byte| i64::from(byte.cast_signed()))
                    .collect(),
                (_, Some(raw)) => raw.iter().map(|byte| i64::from(*byte)).collect(),
            };
            if numbers.len() != total {
                return Err(short(numbers.len()));
            }
            Tensor::from_vec(numbers, dims.as_slice(), &Device::Cpu)
                .map_err(|error| error.to_string())
        }
    }?;
    tensor.to_dtype(dtype).map_err(|error| error.to_string())
}

fn floats(
    numbers: Vec<f32>,
    dims: &[usize],
    total: usize,
    short: impl Fn(usize) -> String,
) -> Result<Tensor, String> {
    if numbers.len() != total {
        return Err(short(numbers.len()));
    }
    if numbers.iter().any(|number| number.is_nan()) {
        return Err("has NaN in its data".to_owned());
    }
    Tensor::from_vec(numbers, dims, &Device::Cpu).map_err(|error| error.to_string())
}

/// Little-endian words; bytes at the end that are no word make one word more, so
/// that the count is wrong.
fn words<const N: usize, T>(raw: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    let (words, rest) = raw.as_chunks::<N>();
    let odd = (!rest.is_empty()).then_some([0; N]);
    words.iter().copied().chain(odd).map(read).collect()
}
