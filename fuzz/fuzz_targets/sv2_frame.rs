//! Any bytes where Stratum V2 frames are expected.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv2_wire::fuzz_frame(data));
