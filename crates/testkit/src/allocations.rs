//! What is allocated at present, by size.
//!
//! A program that counts installs the allocator itself, and runs alone in its process:
//! `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`
//! It counts from [`CountingAllocator::begin`] on, since threads that count hinder each other.

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Sizes up to this are counted one by one.
const SIZES: usize = 1 << 15;

/// The system's allocator, which counts.
#[derive(Debug)]
pub struct CountingAllocator;

/// Live allocations of each size; the last is of all larger ones.
static LIVE: [AtomicI64; SIZES + 1] = [const { AtomicI64::new(0) }; SIZES + 1];
/// Bytes that are live, and the most that were since the last look.
static BYTES: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

static IS_COUNTING: AtomicBool = AtomicBool::new(false);

fn count(size: usize, sign: i64) {
    if !IS_COUNTING.load(Ordering::Relaxed) {
        return;
    }
    LIVE[size.min(SIZES)].fetch_add(sign, Ordering::Relaxed);
    let change = sign * size as i64;
    let live = BYTES.fetch_add(change, Ordering::Relaxed) + change;
    MOST.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to the system allocator with its arguments unchanged; counting touches static
// integers.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(new_size, 1);
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { System.dealloc(pointer, layout) }
    }
}

impl CountingAllocator {
    /// Counts from now on: to be called before anything that is looked at is allocated.
    pub fn begin(&self) {
        IS_COUNTING.store(true, Ordering::Relaxed);
    }

    /// Bytes that are allocated and not freed.
    pub fn live_bytes(&self) -> i64 {
        BYTES.load(Ordering::Relaxed)
    }

    /// The most bytes that were allocated at a time since this was last asked.
    pub fn take_most_bytes(&self) -> i64 {
        MOST.swap(self.live_bytes(), Ordering::Relaxed)
    }

    /// Each size, in bytes, with how many allocations of it are live; the last is of all larger ones.
    pub fn live_by_size(&self) -> impl Iterator<Item = (usize, i64)> {
        let live = LIVE.iter().map(|live| live.load(Ordering::Relaxed));
        live.enumerate().filter(|(_, live)| *live > 0)
    }
}
