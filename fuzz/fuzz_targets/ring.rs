#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| synchrotron_fuzz::ring(bytes));
