//! UDP ports for engines that share one address.

use std::net::UdpSocket;

use anyhow::Context;

/// First of `count` consecutive UDP ports of 127.0.0.1 that are free now.
///
/// # Errors
/// When there is no such range.
pub fn free_ports(count: u16) -> anyhow::Result<u16> {
    let start = 20_000 + (std::process::id() % 500) as u16 * 20;
    let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    (start..50_000)
        .step_by(usize::from(count))
        .find(|&base| (base..base + count).all(is_free))
        .context("no free range of UDP ports between 20000 and 50000")
}
