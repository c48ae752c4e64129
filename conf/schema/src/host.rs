//! What a configuration may ask of the machine it is read on: names, addresses, users.

use std::net::{IpAddr, ToSocketAddrs};

/// The machine. Tests have one of their own.
pub trait Host {
    /// What the machine calls itself.
    fn name(&self) -> String;
    /// The addresses of its interfaces.
    fn addresses(&self) -> Vec<IpAddr>;
    /// The addresses of a host name.
    ///
    /// # Errors
    /// Why it has none.
    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
    /// The number of a user.
    fn user(&self, name: &str) -> Option<u32>;
    /// The number of a group.
    fn group(&self, name: &str) -> Option<u32>;
}

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Host for System {
    fn name(&self) -> String {
        nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
        interfaces
            .filter_map(|interface| {
                let address = interface.address?;
                let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
            })
            .collect()
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut addresses = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    }

    fn user(&self, name: &str) -> Option<u32> {
        Some(nix::unistd::User::from_name(name).ok()??.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        Some(nix::unistd::Group::from_name(name).ok()??.gid.as_raw())
    }
}
