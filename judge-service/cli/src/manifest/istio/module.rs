//! Where proxies get the wasm module from, and how they know that it is the right one.

use std::str::FromStr;

/// A module that runs in every proxy: what comes from elsewhere is pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path where the proxy runs.
    File(String),
    /// `oci://`, `https://` or `http://`.
    Remote(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    pub source: Source,
    /// Of the module, or of the image's manifest.
    pub sha256: Option<Sha256>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256(pub String);

// === impl Source ===

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RIGHT: &str =
            "oci://REGISTRY/IMAGE@sha256:..., https://HOST/PATH or file:///PATH is right";
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/@%+?=&".contains(&byte);
        let (scheme, rest) = text.split_once("://").ok_or(RIGHT)?;
        if rest.is_empty() || !rest.bytes().all(fits) {
            return Err(RIGHT);
        }
        match scheme {
            "file" if rest.starts_with('/') && rest.len() > 1 => Ok(Self::File(rest.to_owned())),
            "oci" | "https" | "http" if !rest.starts_with('/') => Ok(Self::Remote(text.to_owned())),
            _ => Err(RIGHT),
        }
    }
}

impl Source {
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => format!("file://{path}"),
            Self::Remote(url) => url.clone(),
        }
    }
}

// === impl Sha256 ===

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("64 hex digits in lower case are right, as `sha256sum FILE` prints them")
        }
    }
}

// === impl Module ===

impl Module {
    /// # Errors
    /// One from elsewhere that nothing pins.
    pub fn new(source: Source, sha256: Option<Sha256>) -> Result<Self, String> {
        let Source::Remote(url) = &source else {
            return Ok(Self { source, sha256 });
        };
        let in_url = url.split_once("@sha256:").map(|(_, digest)| digest);
        let in_url = in_url.filter(|_| url.starts_with("oci://"));
        let in_url = in_url
            .map(str::parse::<Sha256>)
            .transpose()
            .map_err(|problem| format!("--module: the digest in `{url}`: {problem}"))?;
        let sha256 = match (in_url, sha256) {
            (Some(own), Some(other)) if own != other => {
                return Err(format!(
                    "--sha256: is not the digest that `{url}` has; leave it out, or name the same"
                ));
            }
            (own, other) => own.or(other),
        };
        if sha256.is_none() {
            let how = if url.starts_with("oci://") {
                "@sha256:DIGEST after the image, or --sha256 with the digest of its manifest"
            } else {
                "--sha256 with what `sha256sum serinus_filter.wasm` prints"
            };
            return Err(format!(
                "--module: nothing says which module `{url}` is to be, and it runs in every proxy; {how} is right"
            ));
        }
        Ok(Self { source, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(url: &str, sha256: Option<&str>) -> Result<Module, String> {
        Module::new(
            url.parse().map_err(str::to_owned)?,
            sha256.map(|hex| hex.parse().unwrap()),
        )
    }

    #[test]
    fn what_comes_from_elsewhere_is_pinned() {
        let (one, other) = ("1a".repeat(32), "2b".repeat(32));
        let image = format!("oci://registry.example/serinus@sha256:{one}");
        for (url, sha256) in [
            (image.as_str(), None),
            (&image, Some(one.as_str())),
            ("oci://registry.example/serinus:1.0", Some(&one)),
            ("https://example.com/f.wasm", Some(&one)),
        ] {
            let module = module(url, sha256).unwrap();
            assert_eq!(module.sha256, Some(Sha256(one.clone())), "{url}");
        }
        assert_eq!(module("file:///etc/f.wasm", None).unwrap().sha256, None);
        for (url, sha256, problem) in [
            ("oci://registry.example/serinus:1.0", None, "@sha256:DIGEST"),
            ("https://example.com/f.wasm", None, "--sha256 with"),
            (image.as_str(), Some(other.as_str()), "is not the digest"),
            ("oci://a/b@sha256:12", None, "64 hex digits"),
            ("file://f.wasm", None, "file:///PATH"),
            ("https:///f.wasm", None, "file:///PATH"),
            ("ftp://a/b", None, "file:///PATH"),
            ("https://a/b c", None, "file:///PATH"),
            ("/etc/f.wasm", None, "file:///PATH"),
        ] {
            let error = module(url, sha256).unwrap_err();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }
}
