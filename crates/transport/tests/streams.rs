//! Streams over memory: every way in which bytes can be cut, and everything that is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use headframe_sv2_noise::{
    Initiator, KeyRing, MAX_CHUNK, NoiseKey, OpenError, RecordLayer, SealError, Trust, respond,
    sealed_frame_len,
};
use headframe_transport::{Filled, FrameStream, LineStream, TransportError};
use proptest::prelude::*;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

const OUTBOX: usize = 256 * 1024;

fn records() -> (RecordLayer, RecordLayer) {
    let key = |secret| NoiseKey::new([secret; 32], [0; 32]).unwrap();
    let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], 1_750_000_000).unwrap();
    let (initiator, act1) = Initiator::start(Trust::Authority(ring.authority()), key(4));
    let (act2, server) = respond(&ring.identity(), &act1, key(5));
    (
        initiator.finish(&act2, 1_750_000_000).unwrap().record,
        server,
    )
}

fn frame(message_type: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[0, 0x80, message_type, len[0], len[1], len[2]], payload].concat()
}

/// A few frames of all sorts: empty, small, over one chunk.
fn frames() -> Vec<Vec<u8>> {
    let long: Vec<u8> = (0..MAX_CHUNK + 100).map(|i| (i % 251) as u8).collect();
    vec![
        frame(1, b""),
        frame(2, b"x"),
        frame(3, &[7; 60]),
        frame(4, &long),
        frame(5, b"end"),
    ]
}

fn sealed(frames: &[Vec<u8>]) -> (Vec<u8>, RecordLayer) {
    let (mut client, server) = records();
    let mut wire = Vec::new();
    for frame in frames {
        client.sealer.seal_frame(frame, &mut wire).unwrap();
    }
    (wire, server)
}

/// All frames until the peer closes.
async fn all_frames(mut stream: FrameStream<DuplexStream>) -> Result<Vec<Vec<u8>>, TransportError> {
    let mut frames = Vec::new();
    loop {
        while let Some(frame) = stream.next_frame()? {
            frames.push(frame.to_vec());
        }
        if stream.fill().await? == Filled::Closed {
            return Ok(frames);
        }
    }
}

async fn all_lines(mut stream: LineStream<DuplexStream>) -> Result<Vec<String>, TransportError> {
    let mut lines = Vec::new();
    loop {
        while let Some(line) = stream.next_line()? {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        if stream.fill().await? == Filled::Closed {
            return Ok(lines);
        }
    }
}

/// A socket from which at most `step` bytes come at a time, and on which `wire` arrives.
fn arriving(wire: Vec<u8>, step: usize) -> DuplexStream {
    let (near, mut far) = duplex(step);
    tokio::spawn(async move {
        // The reader may refuse the rest.
        let _ = far.write_all(&wire).await;
    });
    near
}

#[tokio::test]
async fn frames_survive_every_size_of_reads() {
    let frames = frames();
    for step in [1, 2, 21, 22, 23, 1_000, 65_535, 1 << 20] {
        let (wire, server) = sealed(&frames);
        let stream = FrameStream::sealed(arriving(wire, step), server, 70_000, OUTBOX);
        assert_eq!(
            all_frames(stream).await.unwrap(),
            frames,
            "{step} bytes at a time"
        );
    }
    for step in [1, 5, 7, 1 << 20] {
        let stream = FrameStream::plain(arriving(frames.concat(), step), 70_000, OUTBOX);
        assert_eq!(
            all_frames(stream).await.unwrap(),
            frames,
            "{step} bytes at a time"
        );
    }
}

#[tokio::test]
async fn frames_survive_a_cut_at_every_byte() {
    let frames = vec![
        frame(1, b""),
        frame(2, b"x"),
        frame(3, &[7; 60]),
        frame(4, &[8; 100]),
    ];
    let len = sealed(&frames).0.len();
    for cut in 0..=len {
        let (wire, server) = sealed(&frames);
        let (near, mut far) = duplex(len);
        let mut stream = FrameStream::sealed(near, server, 1_000, OUTBOX);
        let mut received = Vec::new();
        for part in [&wire[..cut], &wire[cut..]] {
            far.write_all(part).await.unwrap();
            if !part.is_empty() {
                assert_eq!(stream.fill().await.unwrap(), Filled::Bytes);
            }
            while let Some(frame) = stream.next_frame().unwrap() {
                received.push(frame.to_vec());
            }
        }
        assert_eq!(received, frames, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_hundred_frames_of_one_read_are_handed_out_without_another() {
    let frames: Vec<_> = (0..100).map(|i| frame(i, &[i; 8])).collect();
    let (wire, server) = sealed(&frames);
    let (near, mut far) = duplex(wire.len());
    let mut stream = FrameStream::sealed(near, server, 1_000, OUTBOX);
    far.write_all(&wire).await.unwrap();
    let mut received = Vec::new();
    stream.fill().await.unwrap();
    while let Some(frame) = stream.next_frame().unwrap() {
        received.push(frame.to_vec());
    }
    assert_eq!(received, frames);
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_with_its_header() {
    let header = [0, 0, 1, 0xff, 0xff, 0xff];
    let (mut client, server) = records();
    let mut wire = Vec::new();
    let full = [&header[..], &vec![0; 0xff_ffff]].concat();
    client.sealer.seal_frame(&full, &mut wire).unwrap();
    wire.truncate(22);
    let refused = |result| {
        matches!(
            result,
            Err(TransportError::FrameTooLong {
                announced: 0xff_ffff,
                limit: 1_000
            })
        )
    };
    let stream = FrameStream::sealed(arriving(wire, 100), server, 1_000, OUTBOX);
    assert!(refused(all_frames(stream).await));
    let stream = FrameStream::plain(arriving(header.to_vec(), 100), 1_000, OUTBOX);
    assert!(refused(all_frames(stream).await));

    let longest = vec![frame(1, &[9; 1_000])];
    let (wire, server) = sealed(&longest);
    let stream = FrameStream::sealed(arriving(wire, 100), server, 1_000, OUTBOX);
    assert_eq!(all_frames(stream).await.unwrap(), longest);
}

#[tokio::test]
async fn garbage_and_changed_bytes_do_not_open() {
    let (mut wire, server) = sealed(&frames()[1..3]);
    wire[30] ^= 1;
    let streams = [
        FrameStream::sealed(arriving(wire, 100), server, 1_000, OUTBOX),
        FrameStream::sealed(arriving(vec![0x5a; 500], 100), records().1, 1_000, OUTBOX),
    ];
    for stream in streams {
        let refused = all_frames(stream).await.unwrap_err();
        assert!(matches!(refused, TransportError::Open(OpenError::Forged)));
    }
}

#[tokio::test]
async fn half_a_frame_is_no_frame() {
    let (wire, server) = sealed(&[frame(1, b"whole"), frame(2, b"half")]);
    let wire = wire[..wire.len() - 1].to_vec();
    let stream = FrameStream::sealed(arriving(wire, 100), server, 1_000, OUTBOX);
    assert_eq!(all_frames(stream).await.unwrap(), [frame(1, b"whole")]);
}

#[tokio::test]
async fn lines_survive_every_size_of_reads() {
    let wire = "{\"a\":1}\n\r\n{\"b\":2}\r\n \n\n{}\nno end";
    for step in 1..=wire.len() {
        let stream = LineStream::new(arriving(wire.into(), step), 64, OUTBOX);
        let lines = all_lines(stream).await.unwrap();
        assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}", "{}"]);
    }
}

#[tokio::test]
async fn a_line_of_the_limit_is_taken_and_a_longer_one_is_not() {
    for end in ["\n", "\r\n"] {
        for step in [1, 7, 4_096] {
            let line = "x".repeat(10_000);
            let wire = [&line, end].concat().into_bytes();
            let stream = LineStream::new(arriving(wire, step), 10_000, OUTBOX);
            assert_eq!(all_lines(stream).await.unwrap(), [line.as_str()]);

            let wire = [&line, "x", end].concat().into_bytes();
            let stream = LineStream::new(arriving(wire, step), 10_000, OUTBOX);
            let refused = all_lines(stream).await.unwrap_err();
            assert!(matches!(
                refused,
                TransportError::LineTooLong { limit: 10_000 }
            ));
        }
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_at_the_limit_and_stays_refused() {
    let (near, mut far) = duplex(1 << 20);
    let mut stream = LineStream::new(near, 16 * 1024, OUTBOX);
    far.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    while stream.next_line().is_ok() {
        assert_eq!(stream.fill().await.unwrap(), Filled::Bytes);
    }
    assert!(matches!(
        stream.next_line(),
        Err(TransportError::LineTooLong { .. })
    ));
    drop(stream);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "nothing is answered");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_gets_everything() {
    let (near, mut far) = duplex(64);
    let mut stream = FrameStream::plain(near, 1_000, 1_000);
    // An event a frame: each is followed by an attempt to write, of which 64 bytes succeed.
    for _ in 0..10 {
        stream.queue_frame(&frame(1, &[0; 94])).unwrap();
        assert!(
            tokio::time::timeout(Duration::ZERO, stream.flush())
                .await
                .is_err()
        );
    }
    let refused = stream.queue_frame(&frame(1, &[0; 94])).unwrap_err();
    assert!(matches!(
        refused,
        TransportError::SlowReader {
            queued: 1_036,
            limit: 1_000
        }
    ));

    let mut received = vec![0; 1_000];
    let (flushed, read) = tokio::join!(stream.flush(), far.read_exact(&mut received));
    flushed.unwrap();
    read.unwrap();
    assert_eq!(received, frame(1, &[0; 94]).repeat(10));
    assert!(!stream.wants_flush());
    stream.queue_frame(&frame(1, &[0; 94])).unwrap();
}

#[tokio::test]
async fn a_read_that_waits_writes_what_is_queued() {
    let (near, mut far) = duplex(4_096);
    let mut stream = LineStream::new(near, 1_000, OUTBOX);
    stream.queue_line(b"question").unwrap();
    stream.queue_lines(b"one\ntwo\n").unwrap();
    let peer = async {
        let mut question = [0; 17];
        far.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question\none\ntwo\n");
        far.write_all(b"answer\n").await.unwrap();
    };
    let (filled, ()) = tokio::join!(stream.fill(), peer);
    assert_eq!(filled.unwrap(), Filled::Bytes);
    assert_eq!(stream.next_line().unwrap(), Some(&b"answer"[..]));
}

/// A socket that takes everything and counts the calls.
#[derive(Default)]
struct CountingSocket {
    writes: usize,
    written: Vec<u8>,
}

impl AsyncRead for CountingSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for CountingSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn messages_of_one_event_are_one_write() {
    let (client, mut server) = records();
    let mut stream = FrameStream::sealed(CountingSocket::default(), client, 1_000, OUTBOX);
    for message_type in 0..20 {
        stream.queue_frame(&frame(message_type, &[7; 60])).unwrap();
    }
    stream.flush().await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.socket().writes, 1);
    assert_eq!(stream.socket().written.len(), 20 * sealed_frame_len(60));
    let mut first = *stream.socket().written.first_chunk().unwrap();
    assert_eq!(
        server.opener.open_header(&mut first).unwrap(),
        frame(0, &[7; 60])[..6]
    );

    let mut stream = LineStream::new(CountingSocket::default(), 1_000, OUTBOX);
    for _ in 0..20 {
        stream
            .queue_line(b"{\"method\":\"mining.notify\"}")
            .unwrap();
    }
    stream.flush().await.unwrap();
    assert_eq!(stream.socket().writes, 1);
    assert_eq!(
        stream.socket().written,
        b"{\"method\":\"mining.notify\"}\n".repeat(20)
    );
}

#[tokio::test]
async fn what_is_no_frame_is_not_queued() {
    let (near, _far) = duplex(64);
    let mut stream = FrameStream::sealed(near, records().0, 1_000, OUTBOX);
    for bytes in [&b"abc"[..], &[0, 0, 1, 9, 0, 0, 1]] {
        let refused = stream.queue_frame(bytes).unwrap_err();
        assert!(matches!(
            refused,
            TransportError::Seal(SealError::Length { .. })
        ));
    }
    assert!(!stream.wants_flush());
}

#[tokio::test]
async fn messages_not_taken_out_are_a_fault_of_ours() {
    let (near, mut far) = duplex(1 << 16);
    let mut stream = LineStream::new(near, 100, OUTBOX);
    far.write_all(&b"{}\n".repeat(5_000)).await.unwrap();
    let error = loop {
        match stream.fill().await {
            Ok(filled) => assert_eq!(filled, Filled::Bytes),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::Undrained));
}

/// A peer that is in the middle of a line without end can write on while it is told so, until it
/// reads why and leaves.
#[tokio::test]
async fn shutdown_reads_on_so_that_the_answer_to_a_flood_arrives() {
    let (near, far) = duplex(1_024);
    let mut near = LineStream::new(near, 100, OUTBOX);
    let (mut answers, mut flood) = tokio::io::split(far);
    let flooding = tokio::spawn(async move {
        flood.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        flood.shutdown().await.unwrap();
    });
    // The buffer is full when the line is given up.
    while near.fill().await.is_ok() {}
    assert!(near.next_line().is_err());
    near.queue_line(b"too long").unwrap();
    let closing = tokio::spawn(near.shutdown(Duration::from_secs(60)));
    let mut answer = String::new();
    answers.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "too long\n");
    flooding.await.unwrap();
    closing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_what_is_queued_and_does_not_wait_for_ever() {
    let (near, mut far) = duplex(8);
    let mut stream = LineStream::new(near, 100, OUTBOX);
    stream.queue_line(b"the last words to a peer").unwrap();
    let mut words = String::new();
    let reading = async {
        far.read_to_string(&mut words).await.unwrap();
        drop(far);
    };
    tokio::join!(stream.shutdown(Duration::from_secs(5)), reading);
    assert_eq!(words, "the last words to a peer\n");

    let (near, _deaf) = duplex(8);
    let mut stream = LineStream::new(near, 100, OUTBOX);
    stream.queue_line(b"words that nobody reads").unwrap();
    stream.shutdown(Duration::from_secs(5)).await;
}

proptest! {
    #[test]
    fn both_directions_carry_anything_in_any_pieces(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..30),
        step in 1..5_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let frames: Vec<_> = payloads.iter().map(|payload| frame(7, payload)).collect();
            let (client, server) = records();
            let (near, far) = duplex(step);
            let mut client = FrameStream::sealed(near, client, 3_000, OUTBOX);
            let server = FrameStream::sealed(far, server, 3_000, OUTBOX);
            for frame in &frames {
                client.queue_frame(frame).unwrap();
            }
            let (received, ()) =
                tokio::join!(all_frames(server), client.shutdown(Duration::from_secs(60)));
            assert_eq!(received.unwrap(), frames);
        });
    }
}
