//! The compiled module, and where it is found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wasmtime::{Config, Engine, InstancePre, Linker, Module, Result, format_err};

use super::state::State;
use super::{abi, wasi};

/// A compiled artefact, from which any number of VMs (workers) start.
#[derive(Clone)]
pub struct Artefact {
    pub(super) instance: InstancePre<State>,
    pub size: u64,
    pub exports: BTreeSet<String>,
    pub imports: BTreeSet<String>,
}

// === impl Artefact ===

/// Where `filter/build-wasm` puts it, or where the environment says.
pub fn artefact_path() -> PathBuf {
    match std::env::var_os("SERINUS_FILTER_WASM") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasm/serinus_filter.wasm"),
    }
}

impl Artefact {
    pub fn compile(path: &Path) -> Result<Artefact> {
        let bytes = std::fs::read(path).map_err(|error| {
            format_err!(
                "run filter/build-wasm first (make test does): {}: {error}",
                path.display()
            )
        })?;
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, &bytes)?;
        let mut linker = Linker::new(&engine);
        abi::define(&mut linker, &module)?;
        wasi::define(&mut linker)?;
        let imports: BTreeSet<String> = module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect();
        let exports = module
            .exports()
            .map(|export| export.name().to_owned())
            .collect();
        let instance = linker.instantiate_pre(&module).map_err(|error| {
            error.context(format!(
                "the module imports what Envoy does not give, of {imports:?}"
            ))
        })?;
        Ok(Artefact {
            instance,
            size: bytes.len() as u64,
            exports,
            imports,
        })
    }

    /// The filter that was built, compiled once for the whole test binary.
    pub fn built() -> &'static Artefact {
        static BUILT: OnceLock<Artefact> = OnceLock::new();
        BUILT.get_or_init(|| match Artefact::compile(&artefact_path()) {
            Ok(artefact) => artefact,
            Err(error) => panic!("{error:#}"),
        })
    }
}
