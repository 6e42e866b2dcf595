//! The bare loop: what the pool does for its connections, and nothing else.

use std::io::{Write as _, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::Context as _;
use bitcoin::hashes::{Hash as _, sha256d};
use headframe_sv2_noise::Sealer;

const HEADER_LEN: usize = 6;
/// A `SetNewPrevHash` and a `NewMiningJob` with a time, header and payload.
pub(crate) const TIP: usize = HEADER_LEN + 48;
pub(crate) const JOB: usize = HEADER_LEN + 49;
/// The bench's coinbase without its witness, and the depth of the tree of its 3,000 transactions.
const COINBASE: usize = 190;
pub(crate) const BRANCHES: usize = 12;

/// Accepts connections, and writes to them as it is told, from as many threads as there are cores:
///
/// * `accept N`: N connections more. Answered when they are there.
/// * `write A B`: A bytes to each, and then, if B is not 0, B bytes to each.
/// * `make N`: N tips to each, each sealed for itself, and then N jobs, for each of which a merkle root is
///   hashed.
pub(crate) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{} none", listener.local_addr()?);
    let mut sockets = Vec::new();
    for line in stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["accept", number] => {
                for _ in 0..number.parse()? {
                    let (socket, _) = listener.accept()?;
                    socket.set_nodelay(true)?;
                    sockets.push(socket);
                }
                println!("accepted");
            }
            ["write", first, second] => {
                for len in [first.parse()?, second.parse()?] {
                    let sealed = vec![0; len];
                    on_all_cores(&sockets, |mut socket| Ok(socket.write_all(&sealed)?))?;
                }
            }
            ["make", messages] => {
                let messages = messages.parse()?;
                on_all_cores(&sockets, |socket| make(socket, messages, TIP, false))?;
                on_all_cores(&sockets, |socket| make(socket, messages, JOB, true))?;
            }
            _ => anyhow::bail!("{line:?} is not known"),
        }
    }
    Ok(())
}

/// Seals so many frames of `len` bytes, and writes them a chunk at a time.
fn make(
    mut socket: &TcpStream,
    messages: usize,
    len: usize,
    is_hashed: bool,
) -> anyhow::Result<()> {
    const AT_ONCE: usize = 64;
    let mut frame = vec![0; len];
    frame[3] = u8::try_from(len - HEADER_LEN)?;
    let (mut sealer, mut sealed) = (Sealer::from_key(&[1; 32], 0), Vec::new());
    for from in (0..messages).step_by(AT_ONCE) {
        sealed.clear();
        for number in from..messages.min(from + AT_ONCE) {
            if is_hashed {
                frame[len - 32..].copy_from_slice(&merkle_root(number));
            }
            sealer.seal_frame(&frame, &mut sealed)?;
        }
        socket.write_all(&sealed)?;
    }
    Ok(())
}

/// What each standard job needs: a coinbase is hashed, and joined to the hashes of a path.
pub(crate) fn merkle_root(number: usize) -> [u8; 32] {
    let mut coinbase = [0x5a; COINBASE];
    coinbase[..8].copy_from_slice(&number.to_le_bytes());
    let mut pair = [0; 64];
    let mut root = sha256d::Hash::hash(&coinbase).to_byte_array();
    for _ in 0..BRANCHES {
        pair[..32].copy_from_slice(&root);
        root = sha256d::Hash::hash(&pair).to_byte_array();
    }
    root
}

fn on_all_cores(
    sockets: &[TcpStream],
    serve: impl Fn(&TcpStream) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let cores = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let serve = &serve;
        let writers: Vec<_> = sockets
            .chunks(sockets.len().div_ceil(cores))
            .map(|sockets| scope.spawn(move || sockets.iter().try_for_each(serve)))
            .collect();
        for writer in writers {
            writer.join().ok().context("a writer panicked")??;
        }
        Ok(())
    })
}
