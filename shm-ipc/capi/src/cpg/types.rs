//! The structures of cpg.h.

use std::ffi::{c_char, c_void};

use crate::error::{INVALID_PARAM, NAME_TOO_LONG, Outcome};

/// Longest name of a group, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// `struct cpg_name`. Not NUL-terminated; some programs count a NUL into the length.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpgName {
    /// Bytes used.
    pub length: u32,
    /// The name.
    pub value: [c_char; NAME_BYTES_MAX],
}

impl CpgName {
    /// A name as the program gets it.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut value = [0; NAME_BYTES_MAX];
        value.iter_mut().zip(name).for_each(|(to, from)| *to = *from as c_char);
        Self { length: name.len().min(NAME_BYTES_MAX) as u32, value }
    }

    /// A name as the program gave it.
    pub(crate) fn read(from: *const Self) -> Outcome<Vec<u8>> {
        if from.is_null() {
            return Err(INVALID_PARAM);
        }
        // SAFETY: not null, and by contract a `cpg_name` whose length at least was written; only as much of the
        // value is read as that says.
        let length = unsafe { (*from).length } as usize;
        if length > NAME_BYTES_MAX {
            return Err(NAME_TOO_LONG);
        }
        // SAFETY: as above; `length` is within the array.
        let value =
            unsafe { std::slice::from_raw_parts((&raw const (*from).value).cast(), length) };
        Ok(value.to_vec())
    }
}

/// `struct cpg_address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CpgAddress {
    /// Its node.
    pub nodeid: u32,
    /// Its process.
    pub pid: u32,
    /// Why it came or went, `cpg_reason_t`; 0 for those who are just there.
    pub reason: u32,
}

/// `struct cpg_ring_id`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpgRingId {
    /// The ring's representative.
    pub nodeid: u32,
    /// Its sequence number.
    pub seq: u64,
}

/// `struct cpg_iteration_description_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpgIterationDescription {
    /// The group.
    pub group: CpgName,
    /// A member's node.
    pub nodeid: u32,
    /// Its process.
    pub pid: u32,
}

/// `cpg_deliver_fn_t`.
pub type DeliverFn =
    Option<unsafe extern "C" fn(u64, *const CpgName, u32, u32, *mut c_void, usize)>;

/// `cpg_confchg_fn_t`.
pub type ConfchgFn = Option<
    unsafe extern "C" fn(
        u64,
        *const CpgName,
        *const CpgAddress,
        usize,
        *const CpgAddress,
        usize,
        *const CpgAddress,
        usize,
    ),
>;

/// `cpg_totem_confchg_fn_t`.
pub type TotemConfchgFn = Option<unsafe extern "C" fn(u64, CpgRingId, u32, *const u32)>;

/// `cpg_callbacks_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpgCallbacks {
    /// A message.
    pub deliver: DeliverFn,
    /// A change of the group.
    pub confchg: ConfchgFn,
}

/// `cpg_model_v1_data_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpgModelV1 {
    /// 1.
    pub model: i32,
    /// A message.
    pub deliver: DeliverFn,
    /// A change of the group.
    pub confchg: ConfchgFn,
    /// A change of the ring.
    pub totem_confchg: TotemConfchgFn,
    /// `CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF` or 0.
    pub flags: u32,
}

/// `CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF`.
pub(crate) const INITIAL_TOTEM_CONF: u32 = 1;

/// Calls back that nobody wants.
pub(crate) const NO_CALLBACKS: CpgModelV1 =
    CpgModelV1 { model: 1, deliver: None, confchg: None, totem_confchg: None, flags: 0 };
