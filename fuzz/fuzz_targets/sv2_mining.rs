//! Any frame of the mining protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv2_wire::mining::fuzz_mining(data));
