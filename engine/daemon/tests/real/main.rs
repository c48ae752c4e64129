//! Real engines: processes with configuration files, sockets and programs.

mod administration;
mod cluster;
mod cmap;
mod corosync_conf;
mod failures;
mod links;
mod order;
mod reload;
mod services;
mod votes;
