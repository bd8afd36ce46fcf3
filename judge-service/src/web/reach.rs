//! Where calls may go. Whoever writes a rollout makes the judge call what it names, with
//! the rights of the judge's own network.

use axum::http::Uri;
use axum::http::uri::Authority;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::Service;

/// Where rollouts may lead: anywhere, if nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MayCall(Vec<Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// In small letters.
    host: String,
    /// And all that is below it, without itself: `*.example.com`.
    is_suffix: bool,
    /// `None` for all ports.
    port: Option<u16>,
}

/// The system's resolver, without addresses that lead where nobody may be led.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

// === impl MayCall ===

impl MayCall {
    /// # Errors
    /// What is neither a host nor one with a port.
    pub fn read(places: &[String]) -> Result<Self, String> {
        let places: Result<_, String> = places.iter().map(|text| place(text)).collect();
        Ok(Self(places?))
    }

    /// # Errors
    /// A place where no rollout may lead, or none at all.
    pub fn check(&self, uri: &Uri) -> Result<(), String> {
        check_address(uri)?;
        let host = host(uri)?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let may = |place: &Place| {
            let is_host = match place.is_suffix {
                false => place.host == host,
                true => host
                    .strip_suffix(&place.host)
                    .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            };
            is_host && place.port.is_none_or(|own| own == port)
        };
        if self.0.is_empty() || self.0.iter().any(may) {
            return Ok(());
        }
        Err(format!(
            "leads to {host}:{port}, which this judge was not told that rollouts may call (serinus serve --may-call)"
        ))
    }
}

fn place(text: &str) -> Result<Place, String> {
    let wrong = || {
        format!(
            "`{text}` is no place to call; a host such as `changes.example`, with a port if only that one is meant, or `*.models.svc` for all below a name is right"
        )
    };
    let (is_suffix, rest) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let authority: Authority = rest.parse().map_err(|_| wrong())?;
    let has_port = rest
        .rsplit_once(']')
        .map_or(rest, |(_, after)| after)
        .contains(':');
    let port = authority.port_u16();
    if rest.contains(['@', '*']) || authority.host().is_empty() || has_port != port.is_some() {
        return Err(wrong());
    }
    Ok(Place {
        host: plain(authority.host()),
        is_suffix,
        port,
    })
}

/// As names are compared: in small letters, without the dot of the root.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn host(uri: &Uri) -> Result<String, String> {
    match uri.host() {
        Some(host) if !host.is_empty() => Ok(plain(host)),
        _ => Err(format!("{uri} names no host")),
    }
}

/// # Errors
/// A URL with an address, and not a name, that leads where nobody may be led.
pub(super) fn check_address(uri: &Uri) -> Result<(), String> {
    let host = host(uri)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if is_forbidden(address) => Err(forbidden(&host, address)),
        _ => Ok(()),
    }
}

/// Link-local: there a cloud gives its machines their credentials. And an address that is
/// none, which systems take for this machine.
fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    }
}

fn forbidden(host: &str, address: IpAddr) -> String {
    format!(
        "leads to {host} ({address}), a link-local or empty address, which the judge calls for nobody"
    )
}

// === impl Resolver ===

impl Resolver {
    pub fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let found = self.0.call(name);
        Box::pin(async move { allowed(&host, found.await?) })
    }
}

fn allowed(
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    let (bad, good): (Vec<_>, Vec<_>) = found.partition(|address| is_forbidden(address.ip()));
    match bad.first() {
        Some(bad) if good.is_empty() => Err(io::Error::other(forbidden(host, bad.ip()))),
        _ => Ok(good.into_iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hosts_all_below_a_name_or_one_port() {
        let named = [
            "Changes.example:8443",
            "*.models.svc",
            "10.0.0.7",
            "[::1]:80",
        ];
        let may = MayCall::read(&named.map(str::to_owned)).unwrap();
        for (url, is_allowed) in [
            ("https://changes.example:8443/a", true),
            ("https://CHANGES.example.:8443/a", true),
            ("https://changes.example/a", false),
            ("http://fraud.models.svc:8080", true),
            ("http://a.fraud.models.svc", true),
            ("http://models.svc", false),
            ("http://evilmodels.svc", false),
            ("http://10.0.0.7:1", true),
            ("http://10.0.0.8", false),
            ("http://[::1]/", true),
            ("https://[::1]/", false),
        ] {
            let said = may.check(&url.parse().unwrap());
            assert_eq!(said.is_ok(), is_allowed, "{url}: {said:?}");
            MayCall::default().check(&url.parse().unwrap()).unwrap();
        }
        for wrong in [
            "", "*", "a:b", "a:", "http://a", "a/b", "u@a", "*.*.a", "a:70000",
        ] {
            let error = MayCall::read(&[wrong.to_owned()]).unwrap_err();
            assert!(error.contains("is no place to call"), "{wrong}: {error}");
        }
    }

    #[test]
    fn nobody_is_led_to_where_a_cloud_gives_its_credentials() {
        let all = MayCall::read(&["*.example".to_owned(), "169.254.169.254".to_owned()]).unwrap();
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://0.0.0.0/",
            "http://[::]/",
        ] {
            let uri: Uri = url.parse().unwrap();
            let error = check_address(&uri).unwrap_err();
            assert!(error.contains("the judge calls for nobody"), "{error}");
            all.check(&uri).unwrap_err();
        }
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let one_good = addresses(&["169.254.169.254:80", "10.0.0.1:80"]);
        let left = allowed("a.example", one_good.into_iter()).unwrap();
        assert_eq!(left.as_slice(), addresses(&["10.0.0.1:80"]));
        let bad = addresses(&["169.254.169.254:80", "[fe80::1]:80"]);
        allowed("a.example", bad.into_iter()).unwrap_err();
        // What names nobody is said as such.
        assert_eq!(allowed("a.example", [].into_iter()).unwrap().len(), 0);
    }
}
