//! Any line from a Stratum V1 client, held against `serde_json`'s own reading of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv1_wire::fuzz_against_serde_json(data));
