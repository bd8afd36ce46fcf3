//! Whether a URL is one that can be called, whoever may call it.

use std::net::Ipv6Addr;

/// `http://` or `https://`, a host, and a path and a query if there are some. Nothing is
/// called by a fragment, and passwords do not belong into a spec.
pub fn is_callable(url: &str) -> bool {
    let Some(rest) = without_scheme(url) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    is_authority(authority)
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// The same without a path.
pub fn is_origin(url: &str) -> bool {
    without_scheme(url).is_some_and(is_authority)
}

fn without_scheme(url: &str) -> Option<&str> {
    let mut schemes = ["http://", "https://"].iter();
    schemes.find_map(|scheme| url.strip_prefix(scheme))
}

/// A name or an address, and a port if there is one.
fn is_authority(text: &str) -> bool {
    let (host_is_sound, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (!host.is_empty() && host.bytes().all(fits), port)
        }
    };
    host_is_sound && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_called() {
        for right in [
            "http://h",
            "https://fraud-v2.models.svc:8080/v2/health/ready?x=1",
            "http://10.0.0.7:1/",
            "http://[::1]:65535/a",
            "http://[fd00::7]",
            "http://h?x",
        ] {
            assert!(is_callable(right), "{right}");
        }
        for wrong in [
            "",
            "h",
            "ftp://h",
            "http://",
            "http:///a",
            "http://h:0/",
            "http://h:99999/",
            "http://h:abc/",
            "http://h:/",
            "http://h/#f",
            "http://u:p@h/",
            "http://a b/",
            "http://[::1",
            "http://[x]/",
            "http://[::1]8",
            "http://h/\u{e9}",
            "http://h/\n",
        ] {
            assert!(!is_callable(wrong), "{wrong}");
        }
        assert!(is_origin("http://h:8080") && !is_origin("http://h:8080/"));
    }
}
