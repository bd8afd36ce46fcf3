//! Addresses as options take them.

use crate::failure::Failure;
use serinus_judge::domain::RolloutSpec;
use serinus_judge::reading::nearest;
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

/// # Errors
/// Addresses that are not those of the rollout's arms, one for each.
pub fn check(spec: &RolloutSpec, addresses: &[ArmAddress]) -> Result<(), Failure> {
    let arms = spec.arms.iter().map(|arm| arm.name.as_str());
    for (index, given) in addresses.iter().enumerate() {
        let before = addresses.iter().take(index);
        if before.into_iter().any(|other| other.arm == given.arm) {
            let problem = format!("--address: `{}` has two", given.arm);
            return Err(Failure::Usage(problem));
        }
        if !arms.clone().any(|arm| arm == given.arm) {
            let meant = nearest(&given.arm, arms.clone());
            let meant = meant.map_or_else(
                || {
                    format!(
                        "the arms are {}",
                        arms.clone().collect::<Vec<_>>().join(", ")
                    )
                },
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(Failure::NotFound(format!(
                "--address: there is no arm `{}`; {meant}",
                given.arm
            )));
        }
    }
    for arm in arms {
        of_arm(addresses, arm)?;
    }
    Ok(())
}

/// # Errors
/// An arm without one.
pub fn of_arm<'a>(addresses: &'a [ArmAddress], arm: &str) -> Result<&'a Address, Failure> {
    let mut found = addresses.iter().filter(|given| given.arm == arm);
    let found = found.next().map(|given| &given.address);
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "--address: arm `{arm}` has none; --address {arm}=HOST:PORT says where it is served"
        ))
    })
}

impl Address {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }
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
