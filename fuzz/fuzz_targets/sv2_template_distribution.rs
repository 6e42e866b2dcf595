//! Any frame of the template distribution protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headframe_sv2_wire::template_distribution::fuzz_template_distribution(data)
});
