//! The bare loop: what the pool does for its connections, and nothing else.

use std::io::{Write as _, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::Context as _;

/// Accepts connections, and writes to them as it is told, from as many threads as there are cores:
///
/// * `accept N`: N connections more. Answered when they are there.
/// * `write A B`: A bytes to each, and then, if B is not 0, B bytes to each.
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
                write(&sockets, first.parse()?)?;
                write(&sockets, second.parse()?)?;
            }
            _ => anyhow::bail!("{line:?} is not known"),
        }
    }
    Ok(())
}

fn write(sockets: &[TcpStream], len: usize) -> anyhow::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let sealed = vec![0; len];
    let cores = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let writers: Vec<_> = sockets
            .chunks(sockets.len().div_ceil(cores))
            .map(|sockets| {
                let sealed = &sealed;
                let write = move || sockets.iter().try_for_each(|mut it| it.write_all(sealed));
                scope.spawn(write)
            })
            .collect();
        for writer in writers {
            writer.join().ok().context("a writer panicked")??;
        }
        Ok(())
    })
}
