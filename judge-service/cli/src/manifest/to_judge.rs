//! How proxies speak to the judge: whom they trust, and what they show of themselves.

#[cfg(test)]
pub mod tests;

use super::address::Address;
use crate::failure::Failure;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest name that DNS has.
const LONGEST_NAME: usize = 253;

/// Options of every manifest. Paths are where the proxy runs, and are written as they are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ToJudge {
    /// Where proxies have the judge's token, as a file that envoy/judge-secret.yaml shows
    /// [default: the judge asks them for none]
    #[arg(long, value_name = "PATH")]
    judge_token: Option<ProxyFile>,
    /// Where proxies have the authority of the judge's certificate: PEM, which Envoy reads
    /// once, or a .yaml like envoy/judge-authority.yaml, by which it reads the PEM again when
    /// that changes [default: they speak to it without TLS]
    #[arg(long, value_name = "PATH")]
    judge_ca: Option<ProxyFile>,
    /// A name in the judge's certificate [default: the host of its address]
    #[arg(long, value_name = "NAME")]
    judge_sni: Option<ServerName>,
    /// Where proxies have a certificate that they show the judge, which knows them by its
    /// --client-ca: PEM, or a .yaml like envoy/judge-identity.yaml that names it and its key
    #[arg(long, value_name = "PATH")]
    judge_certificate: Option<ProxyFile>,
    /// Where proxies have that certificate's key, in PEM
    #[arg(long, value_name = "PATH")]
    judge_key: Option<ProxyFile>,
}

/// What the options come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access<'a> {
    /// A file with the token.
    pub token: Option<&'a str>,
    pub tls: Option<Tls<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls<'a> {
    pub authority: Authority<'a>,
    /// Which the judge's certificate must have.
    pub name: String,
    pub shown: Option<Identity<'a>>,
}

/// Whom a proxy trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority<'a> {
    Pem(&'a str),
    /// A file that names it, by which Envoy reads it again.
    Secret(&'a str),
}

/// What a proxy shows, for mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    Pem {
        certificate: &'a str,
        key: &'a str,
    },
    /// A file that names both, by which Envoy reads them again.
    Secret(&'a str),
}

/// An absolute path that is written into YAML as it is.
#[derive(Debug, Clone)]
struct ProxyFile(String);

/// A name that TLS takes as the server's, which an address is not.
#[derive(Debug, Clone)]
struct ServerName(String);

// === impl ToJudge ===

impl ToJudge {
    /// # Errors
    /// Options that make no sense together, or not with this address of the judge's.
    pub fn access(&self, judge: &Address) -> Result<Access<'_>, Failure> {
        Ok(Access {
            token: self.judge_token.as_ref().map(ProxyFile::as_str),
            tls: self.tls(judge)?,
        })
    }

    /// The first option that is given of those that need a cluster of the manifest's own.
    pub fn given(&self) -> Option<&'static str> {
        let first = [
            (self.judge_token.is_some(), "--judge-token"),
            (self.judge_ca.is_some(), "--judge-ca"),
        ];
        named(&first).or_else(|| self.beside_ca())
    }

    /// The first option that names a file of the proxies'.
    pub fn file(&self) -> Option<&'static str> {
        named(&[
            (self.judge_token.is_some(), "--judge-token"),
            (self.judge_ca.is_some(), "--judge-ca"),
            (self.judge_certificate.is_some(), "--judge-certificate"),
            (self.judge_key.is_some(), "--judge-key"),
        ])
    }

    /// The first of those that are nothing without an authority.
    fn beside_ca(&self) -> Option<&'static str> {
        named(&[
            (self.judge_certificate.is_some(), "--judge-certificate"),
            (self.judge_key.is_some(), "--judge-key"),
            (self.judge_sni.is_some(), "--judge-sni"),
        ])
    }

    fn tls(&self, judge: &Address) -> Result<Option<Tls<'_>>, Failure> {
        let Some(ca) = &self.judge_ca else {
            return match self.beside_ca() {
                None => Ok(None),
                Some(option) => Err(Failure::Usage(format!(
                    "{option}: is for TLS, and nothing says whom proxies trust; --judge-ca PATH is right beside it, the file with the authority of the judge's certificate"
                ))),
            };
        };
        Ok(Some(Tls {
            authority: match ca.is_secret() {
                true => Authority::Secret(ca.as_str()),
                false => Authority::Pem(ca.as_str()),
            },
            name: self.name(judge)?,
            shown: self.shown()?,
        }))
    }

    /// The name that the judge's certificate must have.
    ///
    /// # Errors
    /// An address that is no name, and none beside it.
    pub fn name(&self, judge: &Address) -> Result<String, Failure> {
        if let Some(name) = &self.judge_sni {
            return Ok(name.0.clone());
        }
        let host = judge.host();
        let name = host.parse::<ServerName>().map_err(|problem| {
            Failure::Usage(format!(
                "--judge-sni: is missing, and the judge's address `{host}` is none: {problem}"
            ))
        })?;
        Ok(name.0)
    }

    fn shown(&self) -> Result<Option<Identity<'_>>, Failure> {
        match (&self.judge_certificate, &self.judge_key) {
            (None, None) => Ok(None),
            (Some(secret), None) if secret.is_secret() => {
                Ok(Some(Identity::Secret(secret.as_str())))
            }
            (Some(secret), Some(_)) if secret.is_secret() => Err(Failure::Usage(format!(
                "--judge-key: stands beside `{}`, which names the key itself; leave it out",
                secret.0
            ))),
            (Some(certificate), Some(key)) => Ok(Some(Identity::Pem {
                certificate: certificate.as_str(),
                key: key.as_str(),
            })),
            (Some(certificate), None) => Err(Failure::Usage(format!(
                "--judge-key: is missing; the file with the key of `{}` is right",
                certificate.0
            ))),
            (None, Some(key)) => Err(Failure::Usage(format!(
                "--judge-certificate: is missing; the file with the certificate of the key `{}` is right",
                key.0
            ))),
        }
    }
}

fn named(options: &[(bool, &'static str)]) -> Option<&'static str> {
    let given = options.iter().find(|(is_given, _)| *is_given);
    given.map(|(_, option)| *option)
}

// === impl Access ===

impl Access<'_> {
    /// A comment for whoever reads the manifest.
    pub fn warning(&self) -> &'static str {
        if self.token.is_some() && self.tls.is_none() {
            "# Whoever listens reads the token: --judge-ca is right where others could.\n"
        } else {
            ""
        }
    }
}

// === impl Tls ===

impl Tls<'_> {
    /// A field of Envoy's cluster, as envoy/judge-token.yaml and judge-certificate.yaml
    /// have it.
    pub fn transport_socket(&self) -> String {
        let name = &self.name;
        let shown = self.shown.as_ref().map(Identity::field).unwrap_or_default();
        format!(
            r#"# Whom to trust: the judge's certificate must be of this authority, and for this
# name. {again}
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: "{name}"
    common_tls_context:
{shown}{trust}"#,
            again = self.when_files_change(),
            trust = indented(&self.authority.field(name), 6),
        )
    }

    fn when_files_change(&self) -> &'static str {
        let shown_once = matches!(self.shown, Some(Identity::Pem { .. }));
        match self.authority {
            Authority::Secret(_) if !shown_once => "Envoy reads the files again when they change.",
            _ => "Envoy reads PEM files once, when it makes this cluster.",
        }
    }

    /// The option with a file that only Envoy's own cluster reads.
    pub fn secret(&self) -> Option<&'static str> {
        named(&[
            (matches!(self.authority, Authority::Secret(_)), "--judge-ca"),
            (
                matches!(self.shown, Some(Identity::Secret(_))),
                "--judge-certificate",
            ),
        ])
    }
}

// === impl Authority, Identity ===

impl Authority<'_> {
    fn field(&self, name: &str) -> String {
        let names = format!(
            r#"match_typed_subject_alt_names:
  - san_type: DNS
    matcher: {{ exact: "{name}" }}
"#
        );
        match self {
            Self::Pem(ca) => {
                let names = indented(&names, 2);
                format!("validation_context:\n  trusted_ca: {{ filename: \"{ca}\" }}\n{names}")
            }
            Self::Secret(path) => format!(
                r#"combined_validation_context:
  default_validation_context:
{names}  validation_context_sds_secret_config:
    name: judge-authority
    sds_config:
      path_config_source: {{ path: "{path}" }}
"#,
                names = indented(&names, 4)
            ),
        }
    }
}

impl Identity<'_> {
    fn field(&self) -> String {
        match self {
            Self::Pem { certificate, key } => format!(
                r#"      tls_certificates:
        - certificate_chain: {{ filename: "{certificate}" }}
          private_key: {{ filename: "{key}" }}
"#
            ),
            Self::Secret(path) => format!(
                r#"      tls_certificate_sds_secret_configs:
        - name: judge-identity
          sds_config:
            path_config_source: {{ path: "{path}" }}
"#
            ),
        }
    }
}

/// A field of the cluster's HTTP options: puts the token of a file into every call.
pub fn injector(file: &str) -> String {
    format!(
        r#"# The judge's token stands in a file of the proxy's, which Envoy reads again when
# another is renamed over it, and shows nowhere.
http_filters:
  - name: envoy.filters.http.credential_injector
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
      overwrite: true
      credential:
        name: envoy.http.injected_credentials.generic
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
          credential:
            name: judge-token
            sds_config:
              path_config_source: {{ path: "{file}" }}
  - name: envoy.filters.http.upstream_codec
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
"#
    )
}

/// A field of Envoy's cluster: calls by HTTP/1.1, each with the token.
pub fn with_token(file: &str) -> String {
    format!(
        r#"typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config:
      http_protocol_options: {{}}
{}"#,
        indented(&injector(file), 4)
    )
}

pub fn indented(text: &str, by: usize) -> String {
    let lines = text.lines();
    lines.map(|line| format!("{:by$}{line}\n", "")).collect()
}

// === impl ProxyFile, ServerName ===

impl ProxyFile {
    fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is no PEM, but names the files that are.
    fn is_secret(&self) -> bool {
        self.0.ends_with(".yaml")
    }
}

impl FromStr for ProxyFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        if text.starts_with('/') && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err("a path from the root of the proxy's file system such as /etc/serinus/ca.pem is right")
    }
}

impl FromStr for ServerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(fits);
        let is_name = text.len() <= LONGEST_NAME && text.split('.').all(is_part);
        if is_name && text.parse::<IpAddr>().is_err() {
            return Ok(Self(text.to_owned()));
        }
        Err("a DNS name that the judge's certificate has is right, such as judge.example")
    }
}
