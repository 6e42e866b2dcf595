//! Any frames at the template distribution protocol's client session.

#![no_main]

use std::time::Instant;

use headframe_distribution::fuzz::fuzz_client;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_client(Instant::now(), data));
