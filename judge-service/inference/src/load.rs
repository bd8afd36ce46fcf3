//! Finds the files of a model, bounds them, and builds the model from their bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Model;
use super::description::{Description, DescriptionError, Format};
use super::error::BuildError;
use super::kind::{self, OtherFile};
use super::loaded::{Digests, Engine, Loaded};
use super::network::Network;
use super::onnx::Onnx;
use super::tabular::Tabular;
use super::trees::{Trees, TreesError};
use super::weights::{self, WeightsError};

/// 1 MiB: a description with a mean and a deviation for each of 30,000 columns.
pub const MAX_DESCRIPTION_BYTES: u64 = 1024 * 1024;

/// 256 MiB: 64 million weights. The judge holds the weights of each arm in memory.
pub const MAX_WEIGHTS_BYTES: u64 = 256 * 1024 * 1024;

/// Why a model cannot be loaded. Every text begins with the file's path.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path}: cannot be read: {reason}")]
    File { path: PathBuf, reason: io::Error },
    #[error("{path}: must be a regular file")]
    NotAFile { path: PathBuf },
    #[error("{path}: has {bytes} bytes, but may have at most {limit}")]
    TooLarge {
        path: PathBuf,
        bytes: u64,
        limit: u64,
    },
    #[error("{path}: weights: `{weights}` must be the name of a file in the same folder")]
    Outside { path: PathBuf, weights: String },
    #[error("{path}: {reason}")]
    Description {
        path: PathBuf,
        reason: DescriptionError,
    },
    #[error("{path}: {reason}")]
    Weights { path: PathBuf, reason: WeightsError },
    #[error("{path}: {reason}")]
    Trees { path: PathBuf, reason: TreesError },
    #[error("{path}: {reason}")]
    OtherFile { path: PathBuf, reason: OtherFile },
    #[error("{path}: {reason}")]
    Build { path: PathBuf, reason: BuildError },
}

/// Loads a model from its description, completely checked. Blocks on the disk.
///
/// # Errors
/// Any file that is missing, too large, malformed, outside the description's
/// folder, or at odds with the other one.
pub fn load(path: &Path) -> Result<Arc<dyn Model>, LoadError> {
    let text = read(path, MAX_DESCRIPTION_BYTES)?;
    let description = Description::parse(&text).map_err(|reason| LoadError::Description {
        path: path.to_owned(),
        reason,
    })?;
    let weights_path = beside(path, &description.weights)?;
    let bytes = read(&weights_path, MAX_WEIGHTS_BYTES)?;
    let engine = engine(path, &description, &weights_path, &bytes)?;
    let digests = Digests {
        both: digest(&[&text, &bytes]),
        weights: digest(&[&bytes]),
    };
    let loaded = Loaded::new(&description, engine, digests);
    Ok(Arc::new(loaded.map_err(|reason| LoadError::Build {
        path: path.to_owned(),
        reason,
    })?))
}

/// Reads the weights in the format that the description says.
fn engine(
    path: &Path,
    description: &Description,
    weights_path: &Path,
    bytes: &[u8],
) -> Result<Box<dyn Engine>, LoadError> {
    let build = |reason: BuildError| LoadError::Build {
        path: path.to_owned(),
        reason,
    };
    let trees = |reason| LoadError::Trees {
        path: weights_path.to_owned(),
        reason,
    };
    kind::check(bytes, description.format).map_err(|reason| LoadError::OtherFile {
        path: weights_path.to_owned(),
        reason,
    })?;
    let rounds = description.iterations;
    let trees = match description.format {
        Format::Safetensors => {
            let tensors = weights::read(bytes).map_err(|reason| LoadError::Weights {
                path: weights_path.to_owned(),
                reason,
            })?;
            let network = Network::build(description, &tensors).map_err(build)?;
            return Ok(Box::new(network));
        }
        Format::Onnx => {
            let graph = Onnx::new(description, bytes).map_err(build)?;
            return Ok(Box::new(graph));
        }
        Format::Xgboost => Trees::xgboost(bytes, rounds).map_err(trees)?,
        Format::Lightgbm => Trees::lightgbm(bytes, rounds).map_err(trees)?,
    };
    let tabular = Tabular::new(description, trees).map_err(|reason| build(reason.into()))?;
    Ok(Box::new(tabular))
}

/// SHA-256 over files, one after the other, in lowercase hex. Where a description ends
/// and its weights begin is not ambiguous: it is one JSON value, which ends with the brace
/// that closes it.
fn digest(files: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file);
    }
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a regular file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |reason| LoadError::File {
        path: path.to_owned(),
        reason,
    };
    let too_large = |bytes| LoadError::TooLarge {
        path: path.to_owned(),
        bytes,
        limit,
    };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, in case the file grows meanwhile.
    File::open(path)
        .map_err(failed)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let length = bytes.len() as u64;
    if length > limit {
        Err(too_large(length))
    } else {
        Ok(bytes)
    }
}

/// The path of the weights, which must lie in the description's folder. Links are
/// followed first, so that a mounted ConfigMap (all links, into a folder of its
/// own below) works and a link out of the folder does not.
fn beside(path: &Path, weights: &str) -> Result<PathBuf, LoadError> {
    let outside = || LoadError::Outside {
        path: path.to_owned(),
        weights: weights.to_owned(),
    };
    let mut components = Path::new(weights).components();
    let (Some(Component::Normal(name)), None) = (components.next(), components.next()) else {
        return Err(outside());
    };
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = folder.join(name);
    let resolve = |path: &Path| {
        path.canonicalize().map_err(|reason| LoadError::File {
            path: path.to_owned(),
            reason,
        })
    };
    if resolve(&file)?.starts_with(resolve(folder)?) {
        Ok(file)
    } else {
        Err(outside())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models");

    /// A folder with copies of both files of digits-v1.
    fn copy() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["digits-v1.json", "digits-v1.safetensors"] {
            std::fs::copy(Path::new(MODELS).join(name), folder.path().join(name)).unwrap();
        }
        folder
    }

    /// Loads digits-v1 with one part of its description replaced; returns the error.
    fn refused(part: &str, by: &str) -> String {
        let folder = copy();
        let path = folder.path().join("digits-v1.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(part), "`{part}` is not in the description");
        std::fs::write(&path, text.replace(part, by)).unwrap();
        failure(&path)
    }

    fn failure(path: &Path) -> String {
        load(path).err().unwrap().to_string()
    }

    #[test]
    fn the_models_of_the_lab_load() {
        for name in ["digits-v1", "digits-v2"] {
            let model = load(&Path::new(MODELS).join(format!("{name}.json"))).unwrap();
            assert_eq!(
                (model.name(), model.input_len(), model.output_len()),
                (name, 64, 10)
            );
            assert_eq!(model.labels(), Some(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..]));
            assert_eq!(model.digest().len(), 64);
        }
    }

    #[test]
    fn the_digest_covers_both_files() {
        // echo -n '' | sha256sum, and echo -n abc | sha256sum (FIPS 180-2, B.1).
        assert_eq!(
            digest(&[b"", b""]),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            digest(&[b"a", b"bc"]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let folder = copy();
        let path = folder.path().join("digits-v1.json");
        let model = load(&path).unwrap();
        let before = model.digest().to_owned();
        let weights = folder.path().join("digits-v1.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        assert_eq!(model.file_digest(), digest(&[&bytes]));
        *bytes.last_mut().unwrap() ^= 0x80;
        std::fs::write(&weights, bytes).unwrap();
        assert_ne!(load(&path).unwrap().digest(), before);
    }

    #[test]
    fn weights_outside_the_folder_are_refused() {
        for name in [
            "../digits-v1.safetensors",
            "/etc/passwd",
            "a/b.safetensors",
            "..",
            ".",
            "",
        ] {
            let error = refused("\"digits-v1.safetensors\"", &format!("\"{name}\""));
            assert!(
                error.contains("must be the name of a file in the same folder"),
                "{name}: {error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_may_point_below_the_folder_and_not_out_of_it() {
        let folder = copy();
        let weights = folder.path().join("digits-v1.safetensors");
        let below = folder.path().join("..data");
        std::fs::create_dir(&below).unwrap();
        std::fs::rename(&weights, below.join("weights")).unwrap();
        std::os::unix::fs::symlink(below.join("weights"), &weights).unwrap();
        load(&folder.path().join("digits-v1.json")).unwrap();

        std::fs::remove_file(&weights).unwrap();
        std::os::unix::fs::symlink(Path::new(MODELS).join("digits-v1.safetensors"), &weights)
            .unwrap();
        assert!(failure(&folder.path().join("digits-v1.json")).contains("in the same folder"));
    }

    #[test]
    fn missing_and_irregular_files_are_refused() {
        let folder = copy();
        assert!(
            failure(&folder.path().join("nothing.json")).contains("nothing.json: cannot be read")
        );
        assert!(failure(folder.path()).contains("must be a regular file"));
        std::fs::remove_file(folder.path().join("digits-v1.safetensors")).unwrap();
        assert!(
            failure(&folder.path().join("digits-v1.json"))
                .contains("digits-v1.safetensors: cannot be read")
        );
    }

    #[test]
    fn an_oversized_file_is_refused_unread() {
        let folder = copy();
        for (name, limit) in [
            ("digits-v1.safetensors", MAX_WEIGHTS_BYTES),
            ("digits-v1.json", MAX_DESCRIPTION_BYTES),
        ] {
            // A sparse file: it takes no space.
            std::fs::OpenOptions::new()
                .write(true)
                .open(folder.path().join(name))
                .unwrap()
                .set_len(limit + 1)
                .unwrap();
            let error = failure(&folder.path().join("digits-v1.json"));
            assert!(
                error.contains(&format!(
                    "{name}: has {} bytes, but may have at most {limit}",
                    limit + 1
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn a_truncated_weights_file_is_refused() {
        let folder = copy();
        let weights = folder.path().join("digits-v1.safetensors");
        let bytes = std::fs::read(&weights).unwrap();
        for length in 0..bytes.len() {
            // Every length is refused; every 97th saves time.
            if length % 97 == 0 || length + 1 == bytes.len() {
                std::fs::write(&weights, &bytes[..length]).unwrap();
                let error = failure(&folder.path().join("digits-v1.json"));
                assert!(
                    error.contains("digits-v1.safetensors: is "),
                    "{length}: {error}"
                );
            }
        }
    }

    #[test]
    fn a_description_at_odds_with_the_weights_is_refused() {
        let cases = [
            (
                "[64]",
                "[8, 7]",
                "layers[0].linear.weight: `0.weight` has shape [16, 64], but must take the 56 numbers",
            ),
            (
                "\"1.weight\"",
                "\"0.weight\"",
                "layers[2].linear.weight: `0.weight` has shape [16, 64], but must take the 16",
            ),
            (
                "\"0.weight\"",
                "\"0.bias\"",
                "layers[0].linear.weight: `0.bias` has shape [16], but must be [out, in]",
            ),
            (
                "\"0.bias\"",
                "\"1.bias\"",
                "layers[0].linear.bias: `1.bias` has shape [10], but must be [16]",
            ),
            (
                "\"0.bias\"",
                "\"0.bia\"",
                "layers[0].linear.bias: tensor `0.bia` is not in the weights, which have `0.bias`",
            ),
            (
                ", \"bias\": \"1.bias\"",
                "",
                "layers: no layer uses tensor `1.bias`",
            ),
            (
                ", 9]",
                "]",
                "output.labels: has 9 labels, but the network has 10 outputs",
            ),
        ];
        for (part, by, expected) in cases {
            let error = refused(part, by);
            assert!(
                error.contains(expected),
                "{by}: expected `{expected}`, found `{error}`"
            );
        }
    }
}
