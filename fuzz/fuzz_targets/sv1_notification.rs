//! Any line from a Stratum V1 server.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv1_wire::fuzz_notification(data));
