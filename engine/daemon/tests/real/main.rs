//! Real engines: processes with configuration files, sockets and programs.

mod cluster;
mod failures;
mod order;
mod services;
