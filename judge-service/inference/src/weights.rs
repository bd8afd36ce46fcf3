//! Reads a safetensors file into checked float32 tensors.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The tensors of a weights file by name.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// What is wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("is not a safetensors file: {0}")]
    Format(String),
    #[error(
        "is cut short: tensor `{tensor}` ends at byte {end} of the data, but the file has only {bytes}"
    )]
    Truncated {
        tensor: String,
        end: u64,
        bytes: u64,
    },
    #[error("tensor `{tensor}` is {found}, but must be F32")]
    Dtype { tensor: String, found: String },
    #[error(
        "tensor `{tensor}` has {found} at position {position}, but every weight must be a finite number"
    )]
    NotFinite {
        tensor: String,
        position: usize,
        found: f32,
    },
    #[error("tensor `{tensor}` cannot be made: {reason}")]
    Tensor { tensor: String, reason: String },
}

/// Reads every tensor. The bytes are the whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Tensors, WeightsError> {
    check_ends(bytes)?;
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| WeightsError::Format(error.to_string()))?;
    file.iter()
        .map(|(name, view)| Ok((name.to_owned(), tensor(name, &view)?)))
        .collect()
}

/// Checks that no tensor ends outside the file. It is done before the library
/// reads the file for two reasons: the library does not say which tensor is cut
/// off, and it adds up the offsets without looking for an overflow.
fn check_ends(bytes: &[u8]) -> Result<(), WeightsError> {
    #[derive(Deserialize)]
    struct Entry {
        data_offsets: Option<(IgnoredAny, u64)>,
    }
    let header = bytes.split_first_chunk::<8>().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    });
    let Some((header, data)) = header else {
        return Err(WeightsError::Format(format!(
            "its header does not fit into its {} bytes",
            bytes.len()
        )));
    };
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(header)
        .map_err(|error| WeightsError::Format(format!("in its header, {error}")))?;
    let available = data.len() as u64;
    for (tensor, entry) in entries {
        // Only `__metadata__` has no offsets; the library checks that.
        if let Some((_, end)) = entry.data_offsets
            && end > available
        {
            return Err(WeightsError::Truncated {
                tensor,
                end,
                bytes: available,
            });
        }
    }
    Ok(())
}

fn tensor(name: &str, view: &safetensors::tensor::TensorView<'_>) -> Result<Tensor, WeightsError> {
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Dtype {
            tensor: name.to_owned(),
            found: view.dtype().to_string(),
        });
    }
    let (words, _) = view.data().as_chunks::<4>();
    let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    if let Some((position, &found)) = numbers
        .iter()
        .enumerate()
        .find(|(_, number)| !number.is_finite())
    {
        return Err(WeightsError::NotFinite {
            tensor: name.to_owned(),
            position,
            found,
        });
    }
    Tensor::from_vec(numbers, view.shape(), &Device::Cpu).map_err(|error| WeightsError::Tensor {
        tensor: name.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A safetensors file from (name, dtype, shape, offsets) and raw data.
    pub(crate) fn file(entries: &[(&str, &str, &[usize], [u64; 2])], data: &[u8]) -> Vec<u8> {
        let header: serde_json::Map<String, serde_json::Value> = entries
            .iter()
            .map(|(name, dtype, shape, offsets)| {
                (
                    (*name).to_owned(),
                    serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
                )
            })
            .collect();
        let header = serde_json::to_vec(&header).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
    }

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_tensor_is_read_row_by_row() {
        let tensors = read(&file(
            &[("w", "F32", &[2, 2], [0, 16])],
            &bytes(&[1.0, 2.0, 3.0, 4.0]),
        ))
        .unwrap();
        assert_eq!(
            tensors["w"].to_vec2::<f32>().unwrap(),
            [[1.0, 2.0], [3.0, 4.0]]
        );
    }

    #[test]
    fn metadata_is_allowed() {
        let header = br#"{"__metadata__":{"format":"pt"}}"#;
        let file = [&(header.len() as u64).to_le_bytes()[..], header].concat();
        assert!(read(&file).unwrap().is_empty());
    }

    #[test]
    fn a_bad_file_is_refused_in_words() {
        let good = file(&[("w", "F32", &[2], [0, 8])], &bytes(&[1.0, 2.0]));
        assert!(
            refused(&good[..good.len() - 1])
                .contains("tensor `w` ends at byte 8 of the data, but the file has only 7")
        );
        assert!(refused(&good[..20]).contains("its header does not fit into its 20 bytes"));
        assert!(refused(b"").contains("its header does not fit into its 0 bytes"));
        assert!(refused(b"\x04\0\0\0\0\0\0\0junk").contains("in its header, expected"));
        assert!(refused(&[0xff; 64]).contains("is not a safetensors file"));
        assert!(
            refused(&file(&[("w", "F32", &[3], [0, 8])], &bytes(&[1.0, 2.0])))
                .contains("is not a safetensors file")
        );
        assert!(
            refused(&file(&[("w", "F64", &[1], [0, 8])], &[0; 8]))
                .contains("tensor `w` is F64, but must be F32")
        );
        assert!(
            refused(&file(&[("w", "F99", &[1], [0, 8])], &[0; 8]))
                .contains("unknown variant `F99`")
        );
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused() {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = refused(&file(&[("w", "F32", &[2], [0, 8])], &bytes(&[1.0, number])));
            assert!(
                found.contains("tensor `w` has") && found.contains("at position 1"),
                "{found}"
            );
        }
    }

    #[test]
    fn offsets_that_overflow_are_refused() {
        // Eight tensors of 2^61 - 1 bytes end just below 2^64: the library's own sum would overflow.
        let size = (1_u64 << 61) - 1;
        let shape = [size as usize];
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let entries: Vec<_> = (0..8)
            .map(|i| {
                (
                    names[i as usize],
                    "U8",
                    &shape[..],
                    [i * size, (i + 1) * size],
                )
            })
            .collect();
        assert!(refused(&file(&entries, &[])).contains("is cut short"));
    }
}
