//! Any line from a Stratum V1 client.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv1_wire::fuzz_request(data));
