#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| synchrotron_fuzz::corosync_conf(bytes));
