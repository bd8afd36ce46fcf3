//! Addresses as options take them.

use std::fmt;
use std::str::FromStr;

/// A name or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// `canary=fraud-v2:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmAddress {
    pub arm: String,
    pub address: Address,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RIGHT: &str = "a host and a port are right, such as fraud-v2:8080 or [::1]:8080";
        let (host, port) = text.rsplit_once(':').ok_or(RIGHT)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        // It is written into YAML: nothing but what names and addresses are made of.
        let is_name = |host: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !host.is_empty() && host.bytes().all(fits)
        };
        let is_right = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !is_right {
            return Err(RIGHT);
        }
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: port.parse().map_err(|_| RIGHT)?,
        })
    }
}

/// As Envoy's configurations have it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.host.contains(':') { "\"" } else { "" };
        let Self { host, port } = self;
        write!(f, "{{ address: {quote}{host}{quote}, port_value: {port} }}")
    }
}

impl FromStr for ArmAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (arm, address) = text
            .split_once('=')
            .ok_or("an arm, = and its address are right, such as canary=fraud-v2:8080")?;
        Ok(Self {
            arm: arm.to_owned(),
            address: address.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for (text, yaml) in [
            ("fraud-v2:8080", "{ address: fraud-v2, port_value: 8080 }"),
            ("10.0.0.7:1", "{ address: 10.0.0.7, port_value: 1 }"),
            ("[::1]:8080", "{ address: \"::1\", port_value: 8080 }"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), yaml);
        }
        for wrong in [
            "", "a", "a:", ":1", "a:70000", "a b:1", "::1:8080", "a}:1", "[a]:1",
        ] {
            wrong.parse::<Address>().unwrap_err();
        }
        let arm: ArmAddress = "canary=a:1".parse().unwrap();
        assert_eq!(arm.arm, "canary");
        "a:1".parse::<ArmAddress>().unwrap_err();
    }
}
