//! Whom the judge calls.

use clap::Args;
use serinus_judge::service::check_prometheus;
use serinus_judge::web::{MayCall, Web};

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
}

impl CallOptions {
    /// What calls, and where Prometheus is.
    ///
    /// # Errors
    /// What is no place to call.
    pub fn open(self) -> Result<(Web, Option<String>), String> {
        if let Some(address) = &self.prometheus {
            check_prometheus(address).map_err(|problem| format!("--prometheus: it {problem}"))?;
        }
        let may_call =
            MayCall::read(&self.may_call).map_err(|problem| format!("--may-call: {problem}"))?;
        let web = Web::new(may_call).map_err(|error| error.to_string())?;
        Ok((web, self.prometheus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(prometheus: Option<&str>, may_call: &str) -> Result<(), String> {
        let options = CallOptions {
            prometheus: prometheus.map(str::to_owned),
            may_call: vec![may_call.to_owned()],
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
