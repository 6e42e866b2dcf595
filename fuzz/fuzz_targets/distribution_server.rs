//! Any frames at the template distribution protocol's server session.

#![no_main]

use std::time::Instant;

use headframe_distribution::fuzz::fuzz_server;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_server(Instant::now(), data));
