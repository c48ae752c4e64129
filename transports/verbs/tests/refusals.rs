//! What a host says that lacks what the configuration asks for.
#![cfg(feature = "rdma")]

use frame::{Pool, PoolConfig};
use synchrotron_verbs::{Config, Error, VerbsTransport};

#[test]
fn a_host_without_the_address_says_why() {
    let pool = Pool::heap(PoolConfig::default());
    let nowhere = "192.0.2.1:5405".parse().expect("an address");
    let Err(error) = VerbsTransport::new(Config::new(0, vec![nowhere]), pool) else {
        panic!("192.0.2.1 is nobody's");
    };
    let said = error.to_string();
    match error {
        Error::Unavailable(_) => assert!(said.starts_with("RDMA is not available: "), "{said}"),
        Error::NoDevice { .. } => {
            assert!(said.contains("192.0.2.1") && said.contains("rxe0"), "{said}")
        }
        _ => panic!("{said}"),
    }
}
