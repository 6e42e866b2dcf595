//! Any frames from a Stratum V2 client, with work, commits and time between them.

#![no_main]

use std::time::Instant;

use headframe_mining::server::fuzz_sv2_session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_sv2_session(Instant::now(), data));
