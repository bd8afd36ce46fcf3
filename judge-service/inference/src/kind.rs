//! What a file is by its first bytes, where it is not what it is said to be.

use super::description::Format;

/// A file of another kind. Pickles are named because reading one runs its code:
/// nothing here ever does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherFile {
    #[error("is a Python pickle, which is never read: save the model as {0}")]
    Pickle(&'static str),
    #[error("is a zip archive, as torch.save and numpy write: save the model as {0}")]
    Zip(&'static str),
    #[error("is an HDF5 file: save the model as {0}")]
    Hdf5(&'static str),
    #[error("is compressed with gzip: save the model as {0}, uncompressed")]
    Gzip(&'static str),
    #[error("is a pointer of Git LFS and not the file itself: fetch it with `git lfs pull`")]
    LfsPointer,
    #[error("is empty, but must be {0}")]
    Empty(&'static str),
}

/// Refuses what is certainly another kind of file.
pub(super) fn check(bytes: &[u8], format: Format) -> Result<(), OtherFile> {
    let right = match format {
        Format::Safetensors => "safetensors",
        Format::Xgboost => "JSON, with save_model(\"model.json\")",
        Format::Lightgbm => "text, with save_model(\"model.txt\")",
        Format::Onnx => "ONNX, with torch.onnx.export",
    };
    // Protocols 2 to 5 begin with PROTO and their number, and end with STOP (`.`);
    // a safetensors file begins with the length of its header, which may look alike.
    let is_pickle = matches!(bytes, [0x80, 2..=5, .., b'.']);
    match bytes {
        [] if format != Format::Safetensors => Err(OtherFile::Empty(right)),
        _ if is_pickle => Err(OtherFile::Pickle(right)),
        [b'P', b'K', 3, 4, ..] => Err(OtherFile::Zip(right)),
        [0x89, b'H', b'D', b'F', ..] => Err(OtherFile::Hdf5(right)),
        [0x1f, 0x8b, ..] if format != Format::Safetensors => Err(OtherFile::Gzip(right)),
        _ if bytes.starts_with(b"version https://git-lfs") => Err(OtherFile::LfsPointer),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_named() {
        let cases: [(&[u8], &str); 6] = [
            (
                b"\x80\x04\x95\x00.",
                "is a Python pickle, which is never read",
            ),
            (b"PK\x03\x04rest", "is a zip archive"),
            (b"\x89HDF\r\n", "is an HDF5 file"),
            (b"\x1f\x8b\x08", "is compressed with gzip"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"", "is empty"),
        ];
        for (bytes, expected) in cases {
            let error = check(bytes, Format::Xgboost).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(check(b"{\"learner\": {}}", Format::Xgboost), Ok(()));
        // A header of 1152 bytes.
        assert_eq!(check(b"\x80\x04\0\0\0\0\0\0{", Format::Safetensors), Ok(()));
    }
}
