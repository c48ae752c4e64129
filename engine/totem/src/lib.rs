//! The Totem single-ring protocol: total order, membership and recovery as one pure machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;

pub use api::{
    Configuration, ConfigurationKind, Delivered, Dest, Lane, Output, Payload, Source, TokenTimeout,
};
