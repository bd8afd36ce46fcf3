//! Where the API is, and who this judge is there.

use axum::http::Uri;
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Where Kubernetes puts what a pod needs to know of its service account.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The files are read again for each call: tokens are replaced every hour, and
/// certificates now and then.
#[derive(Debug, Clone)]
pub struct Account {
    api: Uri,
    folder: PathBuf,
}

/// What the files say now.
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `None` where a proxy on this machine adds it, such as `kubectl proxy`.
    pub token: Option<String>,
    /// The certificates that sign the API's, in PEM.
    pub authority: Option<Bytes>,
}

impl Account {
    /// # Errors
    /// Outside of a cluster when no URL is given, or a URL of another kind. Without TLS
    /// a token goes nowhere but to this machine.
    pub fn new(api: Option<&str>, folder: Option<&Path>) -> Result<Self, String> {
        let api = match api {
            Some(api) => api.trim_end_matches('/').to_owned(),
            None => in_cluster()?,
        };
        let uri: Uri = api
            .parse()
            .map_err(|error| format!("`{api}` is no URL: {error}"))?;
        let host = uri.host().unwrap_or_default();
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if matches!(host, "127.0.0.1" | "localhost" | "[::1]") => true,
            _ => {
                return Err(format!(
                    "`{api}` is not right; https://HOST:PORT is, or http://127.0.0.1:8001 for `kubectl proxy`"
                ));
            }
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("`{api}` has a path; https://HOST:PORT is right"));
        }
        let folder = folder.unwrap_or(Path::new(FOLDER)).to_owned();
        if !is_plain && !folder.is_dir() {
            return Err(format!(
                "there is no folder {}, which has the service account's `token` and `ca.crt`",
                folder.display()
            ));
        }
        Ok(Self { api: uri, folder })
    }

    /// Scheme, host and port, without a slash at the end.
    #[must_use]
    pub fn api(&self) -> String {
        self.api.to_string().trim_end_matches('/').to_owned()
    }

    /// # Errors
    /// A file that is missing where it is needed, by its name.
    pub fn credentials(&self) -> Result<Credentials, String> {
        if self.api.scheme_str() == Some("http") {
            return Ok(Credentials {
                token: None,
                authority: None,
            });
        }
        let read = |name: &str| {
            let path = self.folder.join(name);
            std::fs::read(&path)
                .map_err(|error| format!("failed to read {}: {error}", path.display()))
        };
        let token = String::from_utf8_lossy(&read("token")?).trim().to_owned();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{} holds no token",
                self.folder.join("token").display()
            ));
        }
        Ok(Credentials {
            token: Some(token),
            authority: Some(read("ca.crt")?.into()),
        })
    }
}

/// As Kubernetes tells each pod.
fn in_cluster() -> Result<String, String> {
    let variable = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            format!("this is no pod of Kubernetes', for {name} is not set: --kubernetes URL says where the API is")
        })
    };
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let host = match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host,
    };
    Ok(format!("https://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_by_tls_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let account = |api: &str| Account::new(Some(api), Some(folder.path()));
        for (wrong, problem) in [
            ("http://10.0.0.1:443", "https://HOST:PORT is"),
            ("10.0.0.1:443", "is no"),
            ("https://host/api", "has a path"),
            ("ftp://host", "https://HOST:PORT is"),
        ] {
            let error = account(wrong).unwrap_err();
            assert!(error.contains(problem), "{wrong}: {error}");
        }
        let plain = account("http://127.0.0.1:8001/").unwrap();
        assert_eq!(plain.api(), "http://127.0.0.1:8001");
        assert_eq!(plain.credentials().unwrap().token, None);
        let missing = Account::new(Some("https://host"), Some(Path::new("/nowhere")));
        assert!(missing.unwrap_err().contains("/nowhere"));
    }

    #[test]
    fn the_files_are_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::new(Some("https://host:443"), Some(folder.path())).unwrap();
        assert!(account.credentials().unwrap_err().contains("token"));
        std::fs::write(folder.path().join("ca.crt"), "ca").unwrap();
        for token in ["one", "two\n"] {
            std::fs::write(folder.path().join("token"), token).unwrap();
            let found = account.credentials().unwrap();
            assert_eq!(found.token.as_deref(), Some(token.trim()));
        }
        std::fs::write(folder.path().join("token"), "a b").unwrap();
        assert!(
            account
                .credentials()
                .unwrap_err()
                .contains("holds no token")
        );
    }
}
