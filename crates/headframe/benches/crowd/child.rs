//! A part of the bench in a process of its own: it is told by lines and answers by lines.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use headframe_transport::PoolUrl;

/// What is spoken with the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Sv1,
    Sv2,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sv1 => "sv1",
            Self::Sv2 => "sv2",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Sv1, Self::Sv2]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// A running part.
pub(crate) struct Child {
    process: std::process::Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What else it said of itself.
    authority: String,
}

impl Child {
    /// Starts the part that `arguments` name, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = process.stdin.take().context("its input")?;
        let mut from = BufReader::new(process.stdout.take().context("its output")?);
        let mut line = String::new();
        from.read_line(&mut line)?;
        let (address, authority) = line
            .trim()
            .split_once(' ')
            .context("an address and a key")?;
        Ok(Self {
            process,
            to,
            from,
            address: address.parse()?,
            authority: authority.to_owned(),
        })
    }

    /// Says `line` to it.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.to.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Says `line` to it and waits for its answer, of one line.
    pub(crate) fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.tell(line)?;
        let mut answer = String::new();
        self.from.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Where miners find it, if it is the pool.
    pub(crate) fn url(&self, protocol: Protocol) -> anyhow::Result<PoolUrl> {
        let url = match protocol {
            Protocol::Sv1 => format!("stratum+tcp://{}", self.address),
            Protocol::Sv2 => format!("stratum2+tcp://{}/{}", self.address, self.authority),
        };
        Ok(PoolUrl::parse(&url, false)?)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes * 1_024)
    }

    /// Seconds of processor time that it has used, to a hundredth.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let (_, rest) = stat.rsplit_once(')').context("a stat line")?;
        let ticks = rest.split_ascii_whitespace().skip(11).take(2);
        let ticks: Result<Vec<u64>, _> = ticks.map(str::parse).collect();
        Ok(ticks?.iter().sum::<u64>() as f64 / 100.0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It is this program's own, and holds nothing that anybody needs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
