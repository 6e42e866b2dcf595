//! Any frame of the job declaration protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headframe_sv2_wire::job_declaration::fuzz_job_declaration(data)
});
