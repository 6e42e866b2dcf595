//! Both ends of the template distribution protocol: section 2.6 of the requirements, row by row.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod both;
mod client;
mod corpus;
mod fit;
mod server;
mod support;
