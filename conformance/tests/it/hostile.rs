//! Garbage on the mining port ends its own connection, in bounded time, and no other.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use headframe_conformance::sv1::Client;
use headframe_conformance::wait::LIMIT;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Miner, Pool, Protocol};

/// What nobody should send, and what a pool must live with.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let long_line = format!("{{\"id\":1,\"method\":\"{}\"}}\n", "a".repeat(1 << 20));
    vec![
        (
            "noise that is no Noise",
            (0..4_096u32).map(|byte| (byte * 37 + 1) as u8).collect(),
        ),
        ("a line of a mebibyte", long_line.into_bytes()),
        ("an endless line", vec![b'{'; 1 << 20]),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        (
            "a frame of 16 MiB",
            [&[0, 0, 0, 0xff, 0xff, 0xff][..], &[0; 64]].concat(),
        ),
        ("half a line", b"{\"id\":1,".to_vec()),
        (
            "deep nesting",
            [vec![b'['; 100_000], b"\n".to_vec()].concat(),
        ),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn garbage_ends_its_own_connection_and_no_other() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut bystander = Client::mining(pool.listen(), &address.to_string());
    let job = bystander.job();
    for (what, bytes) in garbage() {
        send_and_leave(what, pool.listen(), &bytes);
        assert!(pool.is_running(), "after {what}");
    }
    let solution = bystander.solve(&job);
    assert_eq!(bystander.submit(&solution)["result"], true);
    pool.stop();
}

/// Sends all of it, then no more, and waits until the pool hangs up.
fn send_and_leave(what: &str, address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the pool listens");
    stream.set_read_timeout(Some(LIMIT)).expect("it is not 0");
    // The pool may have hung up already, which is what is wanted.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("after {what} the pool does not hang up: {error}"),
    }
}

/// who answers with another key is not mined at.
#[test]
fn a_miner_does_not_trust_another_key() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let (pool, other) = (Pool::on(&node), Pool::on(&node));
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let url = format!("stratum2+tcp://{}/{}", pool.listen(), other.authority_key());
    let miner = Miner::at(&url, &address.to_string(), &["--throttle", "20"]);
    miner.log().line("authority");
    assert_eq!(node.height(), 0);
    // The right key is enough for the same pool.
    let right = Miner::start(
        &pool,
        Protocol::Sv2Extended,
        &address.to_string(),
        &["--throttle", "20"],
    );
    right.log().line("share accepted");
}
