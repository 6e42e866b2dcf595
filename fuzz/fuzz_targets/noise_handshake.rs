//! Any bytes as the acts of a handshake.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv2_noise::fuzz_handshake(data));
