//! After a connection is closed, none of its secrets is left on the heap (NX-41).
//!
//! The process looks through its own memory. It runs alone in its binary, so that no other test
//! holds the same bytes, and it never holds a secret in the form that it searches for: secrets are
//! kept inverted and turned back for the moment of their use.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};

use headframe_sv2_noise::{Initiator, KeyRing, NoiseKey, Opener, Sealer, Trust, respond};

const NOW: u32 = 1_750_000_000;

/// Inverted secrets of four kinds: authority, static, ephemeral, transport.
const INVERTED: [[u8; 32]; 4] = [
    *b"authority-secret-for-this-test-1",
    *b"static-secret-for-this-test----2",
    *b"ephemeral-secret-for-this-test-3",
    *b"transport-key-for-this-test----4",
];

fn secret(kind: usize) -> [u8; 32] {
    black_box(INVERTED)[kind].map(|byte| !byte)
}

/// How many of the four are somewhere on the heap, in either byte order.
fn found_on_heap() -> Vec<usize> {
    let mut memory = File::open("/proc/self/mem").unwrap();
    let heaps = heaps();
    assert!(!heaps.is_empty());
    let mut found = Vec::new();
    let mut page = vec![0; 1 << 16];
    for (start, end) in heaps {
        let mut place = start;
        while place < end {
            let len = usize::try_from(end - place).unwrap().min(page.len());
            memory.seek(SeekFrom::Start(place)).unwrap();
            if memory.read_exact(&mut page[..len]).is_err() {
                break;
            }
            found.extend((0..4).filter(|kind| contains(&page[..len], *kind)));
            // Windows overlap, so that a secret across an edge is seen; the last ends the heap.
            place += if len == page.len() {
                len as u64 - 32
            } else {
                len as u64
            };
            page.fill(0);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether half of a secret is among the bytes: the allocator writes over the first bytes of what is
/// freed. The secret itself is never built.
fn contains(bytes: &[u8], kind: usize) -> bool {
    let halves = INVERTED[kind].as_chunks::<16>().0;
    bytes.windows(16).any(|window| {
        halves.iter().any(|half| {
            let forward = window.iter().zip(half).all(|(a, b)| *a == !*b);
            forward || window.iter().rev().zip(half).all(|(a, b)| *a == !*b)
        })
    })
}

/// Writable anonymous mappings, without those that are stacks.
fn heaps() -> Vec<(u64, u64)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let here = maps.as_ptr() as u64;
    let local = 0_u8;
    let stack = std::ptr::from_ref(&local) as u64;
    let ranges = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let writable = words.next()?.starts_with("rw");
        let name = words.nth(3).unwrap_or("");
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (hex(start)?, hex(end)?);
        let is_stack = name == "[stack]" || (start..end).contains(&stack);
        (writable && !is_stack && (name.is_empty() || name == "[heap]")).then_some((start, end))
    });
    let ranges: Vec<_> = ranges.collect();
    assert!(
        ranges
            .iter()
            .any(|(start, end)| (*start..*end).contains(&here))
    );
    ranges
}

#[test]
fn nothing_is_left_of_a_closed_connection() {
    let mut visible = Box::new(secret(3));
    assert_eq!(found_on_heap(), [3], "the search finds what is there");
    black_box(&mut visible).fill(0);
    assert_eq!(found_on_heap(), [0_usize; 0]);

    let ring = Box::new(KeyRing::create(secret(0), secret(1), &[3; 32], NOW).unwrap());
    let identity = Box::new(ring.identity());
    let client = Box::new(NoiseKey::new(secret(2), [5; 32]).unwrap());
    let sealer = Box::new(Sealer::from_key(&secret(3), 0));
    let opener = Box::new(Opener::from_key(&secret(3), 0));
    assert_eq!(
        found_on_heap(),
        [0, 1, 2, 3],
        "keys that are in use are there"
    );

    let (initiator, act1) = Initiator::start(Trust::Authority(ring.authority()), *client);
    let ephemeral = NoiseKey::new([9; 32], [5; 32]).unwrap();
    let (act2, server) = respond(&identity, &act1, ephemeral);
    let client = initiator.finish(&act2, NOW).unwrap();
    black_box(ring.to_text());
    drop((ring, identity, sealer, opener, server, client));
    assert_eq!(found_on_heap(), [0_usize; 0]);
}
