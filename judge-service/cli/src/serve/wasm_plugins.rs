//! Delivery by way of Kubernetes: which objects, and where the API is.

use serinus_judge::kubernetes::{Account, Judges, ObjectName, write_plans};
use serinus_judge::service::{Delivery, wall_clock};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct WasmPluginOptions {
    /// Write plans into this WasmPlugin of Istio's, by the Kubernetes API; may be given more
    /// than once. Whoever made it keeps all its other fields
    #[arg(
        long = "wasm-plugin",
        env = "SERINUS_WASM_PLUGIN",
        value_name = "NAMESPACE/NAME",
        value_delimiter = ','
    )]
    wasm_plugin: Vec<ObjectName>,
    /// Take the field `plan` of a WasmPlugin from whoever else set it
    #[arg(long, env = "SERINUS_WASM_PLUGIN_FORCE", requires = "wasm_plugin")]
    wasm_plugin_force: bool,
    /// Where the Kubernetes API is [default: that of the pod's cluster]
    #[arg(
        long,
        env = "SERINUS_KUBERNETES",
        value_name = "URL",
        requires = "wasm_plugin"
    )]
    kubernetes: Option<String>,
    /// The folder of the service account's `token` and `ca.crt` [default: a pod's]
    #[arg(
        long,
        env = "SERINUS_KUBERNETES_ACCOUNT",
        value_name = "FOLDER",
        requires = "wasm_plugin"
    )]
    kubernetes_account: Option<PathBuf>,
}

/// Objects that can be written.
pub struct WasmPlugins {
    account: Option<Account>,
    objects: Vec<ObjectName>,
    force: bool,
}

impl WasmPluginOptions {
    /// # Errors
    /// No way to the API.
    pub fn open(self) -> Result<WasmPlugins, String> {
        let account = match self.wasm_plugin.as_slice() {
            [] => None,
            _ => Some(
                Account::new(
                    self.kubernetes.as_deref(),
                    self.kubernetes_account.as_deref(),
                )
                .map_err(|problem| format!("--kubernetes: {problem}"))?,
            ),
        };
        Ok(WasmPlugins {
            account,
            objects: self.wasm_plugin,
            force: self.wasm_plugin_force,
        })
    }
}

impl WasmPlugins {
    /// From now on, while this judge judges.
    pub fn write(self, delivery: &Arc<Delivery>, judges: &Judges) {
        let Some(account) = self.account else {
            return;
        };
        for object in self.objects {
            tracing::info!(%object, "plans go into this WasmPlugin too");
            tokio::spawn(write_plans(
                object,
                account.clone(),
                self.force,
                Arc::clone(delivery),
                Arc::clone(judges),
                wall_clock,
            ));
        }
    }
}
