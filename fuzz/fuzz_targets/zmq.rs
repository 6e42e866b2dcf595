//! Any bytes from a node's ZeroMQ publisher.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headframe_node::zmq::fuzz_zmq(data));
