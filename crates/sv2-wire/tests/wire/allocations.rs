//! Decoding allocates nothing: counted, for every message that has a golden frame.

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::hint::black_box;

use headframe_sv2_wire::Extension;
use headframe_sv2_wire::Frame;
use headframe_sv2_wire::Incoming;
use headframe_sv2_wire::job_declaration::JobDeclarationMessage;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::template_distribution::TemplateDistributionMessage;

use crate::golden::golden;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system allocator with its arguments unchanged; counting touches a `const`
// thread-local without a destructor, which itself never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Decodes a frame as each subprotocol would, and looks at all that is decoded only when asked for.
fn decode(bytes: &[u8]) {
    let (frame, _) = Frame::split(bytes).expect("a whole frame");
    let mining = Incoming::<MiningMessage<'_>>::decode(frame);
    match mining.expect("a golden frame decodes") {
        Incoming::Protocol(MiningMessage::SubmitSharesExtended(share)) => {
            let fields = share.tlvs.read(&[Extension::WORKER_HASHRATE_TRACKING]);
            black_box(fields.map(|fields| fields.user_identity().is_ok()));
        }
        Incoming::Protocol(MiningMessage::NewExtendedMiningJob(job)) => {
            job.merkle_path.iter().for_each(|hash| {
                black_box(hash);
            });
        }
        other => {
            black_box(other);
        }
    }
    black_box(Incoming::<JobDeclarationMessage<'_>>::decode(frame).expect("it decodes"));
    black_box(Incoming::<TemplateDistributionMessage<'_>>::decode(frame).expect("it decodes"));
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(black_box(Box::new(7)))), 1);
}

#[test]
fn decoding_allocates_nothing() {
    for (_, bytes) in golden() {
        assert_eq!(
            allocations_of(|| decode(black_box(&bytes))),
            0,
            "{:02x?}",
            &bytes[..3]
        );
    }
}

#[test]
fn refusing_allocates_nothing() {
    for (_, bytes) in golden() {
        for len in 6..bytes.len() {
            let mut short = bytes[..len].to_vec();
            short[3..6].copy_from_slice(&(len as u32 - 6).to_le_bytes()[..3]);
            let work = || {
                let (frame, _) = Frame::split(black_box(&short)).expect("a whole frame");
                let _ = black_box(Incoming::<MiningMessage<'_>>::decode(frame));
            };
            assert_eq!(allocations_of(work), 0);
        }
    }
}
