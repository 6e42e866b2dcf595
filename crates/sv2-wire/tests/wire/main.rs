//! Tests of the whole crate through its public face.

mod allocations;
mod corpus;
mod differential;
mod dispatch;
mod golden;
mod round_trip;
mod sample;
