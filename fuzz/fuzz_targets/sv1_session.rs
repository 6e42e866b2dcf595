//! Any lines from a Stratum V1 client, with work, commits and time between them.

#![no_main]

use std::time::Instant;

use headframe_mining::server::fuzz_sv1_session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_sv1_session(Instant::now(), data));
