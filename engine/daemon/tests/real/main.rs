//! Real engines: processes with configuration files, sockets and programs.

mod cluster;
mod corosync_conf;
mod failures;
mod order;
mod reload;
mod services;
