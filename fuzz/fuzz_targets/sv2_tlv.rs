//! Any extension fields behind a message.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_sv2_wire::tlv::fuzz_tlv(data));
