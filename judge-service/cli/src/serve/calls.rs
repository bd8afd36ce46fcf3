//! Whom the judge calls.

use crate::files::secret_in;
use clap::Args;
use serinus_judge::service::check_prometheus;
use serinus_judge::web::{MayCall, Web};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CallOptions {
    /// The Prometheus that gates ask, such as http://prometheus:9090
    // Text, because an error of clap's repeats the value, which may have a password.
    #[arg(
        long,
        env = "SERINUS_PROMETHEUS",
        value_name = "URL",
        hide_env_values = true
    )]
    prometheus: Option<String>,
    /// Where rollouts may have the judge call (gates, `ready`, `pairing`): a host, with a
    /// port if only that one is meant, or *.models.svc for all below a name; may be given
    /// more than once [default: anywhere but link-local addresses]
    #[arg(
        long,
        env = "SERINUS_MAY_CALL",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    may_call: Vec<String>,
    /// A file with the secret that signs what gates are asked, as webhooks are signed
    #[arg(long, env = "SERINUS_GATE_SECRET_FILE", value_name = "FILE")]
    gate_secret_file: Option<PathBuf>,
}

/// What the judge calls others by.
pub struct Calls {
    pub web: Web,
    pub prometheus: Option<String>,
    pub gate_secret: Option<String>,
}

impl CallOptions {
    /// # Errors
    /// What is no place to call, and a secret that others can read.
    pub fn open(self) -> Result<Calls, String> {
        if let Some(address) = &self.prometheus {
            check_prometheus(address).map_err(|problem| format!("--prometheus: it {problem}"))?;
        }
        let may_call =
            MayCall::read(&self.may_call).map_err(|problem| format!("--may-call: {problem}"))?;
        let web = Web::new(may_call).map_err(|error| error.to_string())?;
        let secret = self.gate_secret_file.as_deref();
        let gate_secret = secret.map(|path| secret_in("--gate-secret-file", path));
        Ok(Calls {
            web,
            prometheus: self.prometheus,
            gate_secret: gate_secret.transpose().map_err(|error| error.to_string())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(prometheus: Option<&str>, may_call: &str) -> Result<(), String> {
        let options = CallOptions {
            prometheus: prometheus.map(str::to_owned),
            may_call: vec![may_call.to_owned()],
            gate_secret_file: None,
        };
        options.open().map(|_| ())
    }

    #[test]
    fn what_is_wrong_is_named_without_a_password() {
        opened(Some("http://prometheus:9090"), "*.models.svc").unwrap();
        let error = opened(Some("http://me:s3cret@prometheus"), "a").unwrap_err();
        assert!(error.starts_with("--prometheus: it has a user"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        let error = opened(None, "http://a").unwrap_err();
        assert!(
            error.starts_with("--may-call: `http://a` is no place"),
            "{error}"
        );
    }
}
