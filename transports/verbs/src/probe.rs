//! What RDMA devices the host has, for `doctor` and for reasons.

use std::ffi::CStr;
use std::path::Path;

use rdma_sys::{ibv_context, ibv_device, ibv_mtu, ibv_port_attr, ibv_port_state};

/// `IBV_LINK_LAYER_ETHERNET` of verbs.h; anything else a card of ours can have is InfiniBand.
const LINK_LAYER_ETHERNET: u8 = 2;

/// One port of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceReport {
    /// Name, e.g. "mlx5_0".
    pub device: String,
    /// Port of the device, from 1.
    pub port: u8,
    /// Whether it is active.
    pub active: bool,
    /// "InfiniBand" or "Ethernet" (RoCE).
    pub link_layer: &'static str,
    /// MTU in use, in bytes.
    pub mtu_bytes: usize,
}

/// Bytes of an MTU as verbs name it.
pub(crate) fn mtu_bytes(mtu: ibv_mtu::Type) -> usize {
    match mtu {
        ibv_mtu::IBV_MTU_512 => 512,
        ibv_mtu::IBV_MTU_1024 => 1024,
        ibv_mtu::IBV_MTU_2048 => 2048,
        ibv_mtu::IBV_MTU_4096 => 4096,
        _ => 256,
    }
}

/// What a port says about itself.
///
/// # Safety
/// `context` is an open device.
pub(crate) unsafe fn query_port(context: *mut ibv_context, port: u8) -> Option<ibv_port_attr> {
    // SAFETY: attributes of zeros are valid; the caller's promise for the context.
    unsafe {
        let mut attributes: ibv_port_attr = std::mem::zeroed();
        (rdma_sys::ibv_query_port(context, port, &raw mut attributes) == 0).then_some(attributes)
    }
}

/// Name of a device.
///
/// # Safety
/// `device` is a device of a list that was not freed, or of an open context.
pub(crate) unsafe fn device_name(device: *mut ibv_device) -> String {
    // SAFETY: the name is a string in the device's own structure.
    unsafe {
        let name = rdma_sys::ibv_get_device_name(device);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// Every port of every device.
///
/// # Errors
/// Why there is none, and what would change that.
pub fn probe() -> Result<Vec<DeviceReport>, String> {
    let mut reports = Vec::new();
    let mut count = 0;
    // SAFETY: the list lives until it is freed below; every context is closed before.
    unsafe {
        let list = rdma_sys::ibv_get_device_list(&raw mut count);
        if list.is_null() {
            return Err(why_unavailable());
        }
        for at in 0..usize::try_from(count).unwrap_or(0) {
            let device = *list.add(at);
            let context = rdma_sys::ibv_open_device(device);
            if context.is_null() {
                continue;
            }
            let mut port = 1;
            while let Some(attributes) = query_port(context, port) {
                reports.push(report(device_name(device), port, &attributes));
                port += 1;
            }
            rdma_sys::ibv_close_device(context);
        }
        rdma_sys::ibv_free_device_list(list);
    }
    if reports.is_empty() { Err(why_unavailable()) } else { Ok(reports) }
}

fn report(device: String, port: u8, attributes: &ibv_port_attr) -> DeviceReport {
    let ethernet = attributes.link_layer == LINK_LAYER_ETHERNET;
    DeviceReport {
        device,
        port,
        active: attributes.state == ibv_port_state::IBV_PORT_ACTIVE,
        link_layer: if ethernet { "Ethernet" } else { "InfiniBand" },
        mtu_bytes: mtu_bytes(attributes.active_mtu),
    }
}

/// Devices in one line, for error messages.
pub(crate) fn devices_line() -> String {
    let line = |r: &DeviceReport| {
        let state = if r.active { "active" } else { "not active" };
        format!("{} port {} ({}, {state}, MTU {})", r.device, r.port, r.link_layer, r.mtu_bytes)
    };
    match probe() {
        Ok(reports) => {
            format!("there are: {}", reports.iter().map(line).collect::<Vec<_>>().join(", "))
        }
        Err(reason) => reason,
    }
}

/// The most likely cause of there being no RDMA here.
pub(crate) fn why_unavailable() -> String {
    let library = |name: &str| {
        let dirs = [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/lib64",
            "/usr/lib64",
            "/usr/lib",
        ];
        dirs.iter().any(|dir| Path::new(dir).join(name).exists())
    };
    let missing: Vec<_> =
        ["libibverbs.so.1", "librdmacm.so.1"].into_iter().filter(|name| !library(name)).collect();
    if !missing.is_empty() {
        return format!(
            "{} not installed (Debian: libibverbs1, librdmacm1 and ibverbs-providers)",
            missing.join(" and ")
        );
    }
    let has =
        |path: &str| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if !has("/sys/class/infiniband") {
        return "the kernel knows no RDMA device (ls /sys/class/infiniband): no card, or its driver is not loaded"
            .into();
    }
    if !Path::new("/dev/infiniband/rdma_cm").exists() {
        return "there is no /dev/infiniband/rdma_cm: load the kernel module rdma_ucm".into();
    }
    "the RDMA devices cannot be opened: /dev/infiniband/* may not be readable for this user, or the card's \
     provider library (ibverbs-providers) is not installed"
        .into()
}
