//! Any bytes from a listed proxy.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_transport::fuzz_proxy_header(data));
