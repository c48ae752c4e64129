//! Process groups on top of the total order.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;

pub use api::{
    Cause, Clients, Event, GroupHandle, Messages, Pulled, PulledKind, RefusedReason, View,
};
