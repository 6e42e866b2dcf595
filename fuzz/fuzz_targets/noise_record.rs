//! Any bytes as sealed records.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv2_noise::fuzz_record(data));
