//! What the pool needs of the computer that it runs on: its directory, ports, files and certificates.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use headframe_ledger::{BlockFate, MAX_BLOCKS};
use headframe_server::{
    ArchivedBlock, CONTROL_SOCKET, Certificate, CertificatePlace, KeyPlace, Utc, check_place,
    read_archive,
};
use headframe_work::{Network, UnixTime};
use rustix::fs::{Access, access, statvfs};

use super::finding::{Findings, Subject};

const MIB: u64 = 1 << 20;
/// A pool writes little; a disk with less than this is about to be full for other reasons.
const SPACE_NOTED: u64 = 1_024 * MIB;
/// A block has 4 MB and is written as digits.
const SPACE_NEEDED: u64 = 64 * MIB;
/// So long before its end a certificate is spoken of, as on the dashboard.
const WARN_BEFORE: u32 = 14 * 24 * 3_600;

/// Whether a pool runs with this data directory: its control socket is answered.
pub(crate) fn is_running(directory: &Path) -> bool {
    UnixStream::connect(directory.join(CONTROL_SOCKET)).is_ok()
}

pub(crate) fn directory(findings: &mut Findings, path: &Path, network: Option<Network>) {
    let mut to = findings.about(format!("data directory {}", path.display()));
    let exists = path.is_dir();
    let Some(place) = path.ancestors().find(|place| place.exists()) else {
        return to.wrong(
            "data_dir",
            "it cannot be made",
            "choose another with pool.data_dir",
        );
    };
    if is_no_disk(place) {
        return to.wrong(
            "data_dir",
            format!("{} is no disk: nothing can be kept there", place.display()),
            "choose another with pool.data_dir",
        );
    }
    match access(place, Access::WRITE_OK | Access::EXEC_OK) {
        Err(error) => {
            let place = place.display();
            return to.wrong(
                "data_dir",
                format!("{place} cannot be written: {error}"),
                "let the user that runs the pool write it, or choose another with pool.data_dir",
            );
        }
        Ok(()) if exists => private(&mut to, path),
        Ok(()) => to.ok("data_dir", "it is not there yet; the pool makes it"),
    }
    space(&mut to, place);
    if exists {
        blocks(&mut to, path, network);
    }
}

/// Whether it only looks like a directory, as where Linux shows its processes.
#[cfg(target_os = "linux")]
fn is_no_disk(place: &Path) -> bool {
    let system = rustix::fs::statfs(place);
    system.is_ok_and(|it| it.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(not(target_os = "linux"))]
const fn is_no_disk(_: &Path) -> bool {
    false
}

fn private(to: &mut Subject<'_>, path: &Path) {
    let mode = fs::metadata(path).map_or(0, |it| it.permissions().mode() & 0o777);
    let running = match is_running(path) {
        true => "; a pool runs with it",
        false => "",
    };
    match mode & 0o077 {
        0 => to.ok(
            "data_dir",
            format!("it can be written, by its owner alone{running}"),
        ),
        _ => to.note(
            "data_dir",
            format!("others may look into it (mode {mode:o}){running}"),
            format!("chmod 700 '{}'", path.display()),
        ),
    }
}

fn space(to: &mut Subject<'_>, place: &Path) {
    let Ok(disk) = statvfs(place) else {
        return;
    };
    room(to, disk.f_bavail.saturating_mul(disk.f_frsize));
}

/// `free` bytes are left.
fn room(to: &mut Subject<'_>, free: u64) {
    let text = format!("{} MiB are free on its disk", free / MIB);
    const STEP: &str = "make room on the disk: a found block has to be written";
    match free {
        ..SPACE_NEEDED => to.wrong("disk", text, STEP),
        SPACE_NEEDED..SPACE_NOTED => to.note("disk", text, STEP),
        SPACE_NOTED.. => to.ok("disk", text),
    }
}

/// Ledger and journal, and whether a block in them waits for somebody.
fn blocks(to: &mut Subject<'_>, path: &Path, network: Option<Network>) {
    let blocks = match read_archive(path, network, MAX_BLOCKS) {
        Ok(blocks) => blocks,
        Err(error) => {
            return to.wrong(
                "ledger",
                error.to_string(),
                "mend what the line above names",
            );
        }
    };
    let is_open = |it: &&ArchivedBlock| matches!(it.fate, BlockFate::Found | BlockFate::Submitted);
    let is_refused = |it: &&ArchivedBlock| matches!(it.fate, BlockFate::Refused { .. });
    let (open, refused) = (
        blocks.iter().filter(is_open).count(),
        blocks.iter().filter(is_refused).count(),
    );
    let text = format!("{} blocks were found", blocks.len());
    match (open, refused) {
        (0, 0) => to.ok("blocks", text),
        (open, refused) => to.note(
            "blocks",
            format!("{text}; {open} wait for a node's word, {refused} were refused"),
            "headframe blocks tells which, and headframe blocks submit gives one to the nodes again",
        ),
    }
}

pub(crate) fn ports(
    findings: &mut Findings,
    miners: impl IntoIterator<Item = SocketAddr>,
    visitors: Option<SocketAddr>,
    is_running: bool,
) {
    for place in miners {
        let mut to = findings.about(format!("miners at {place}"));
        port(&mut to, check_place(place), ("pool.listen", is_running));
    }
    let Some(place) = visitors else {
        return findings
            .about("dashboard")
            .ok("port", "there is none (http.listen is empty)");
    };
    let mut to = findings.about(format!("dashboard at {place}"));
    port(
        &mut to,
        TcpListener::bind(place).map(drop),
        ("http.listen", is_running),
    );
}

fn port(to: &mut Subject<'_>, free: std::io::Result<()>, (key, is_running): (&str, bool)) {
    match free {
        Ok(()) => to.ok("port", "the port is free"),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_running => {
            to.ok("port", "the pool that runs has it");
        }
        Err(error) => to.wrong(
            "port",
            format!("it cannot be listened on: {error}"),
            match error.kind() {
                ErrorKind::AddrInUse => {
                    format!("stop the program that has the port, or choose another in {key}")
                }
                ErrorKind::PermissionDenied => format!("choose a port from 1024 on in {key}"),
                _ => format!("write an address of this computer in {key}, or 0.0.0.0 for all"),
            },
        ),
    }
}

/// `allowed` files may be open, which leaves room for so many of the `wanted` connections.
pub(crate) fn files(findings: &mut Findings, wanted: usize, (allowed, room): (u64, usize)) {
    let mut to = findings.about("open files");
    match room < wanted {
        false => to.ok(
            "open_files",
            format!("there is room for {wanted} connections"),
        ),
        true => to.note(
            "open_files",
            format!(
                "this system allows {allowed}, so {room} miners can connect instead of {wanted}"
            ),
            "raise the limit (LimitNOFILE= in systemd, ulimit -n in a shell)",
        ),
    }
}

/// The certificate of a listener in TLS, in files of the operator's or of the pool's own.
pub(crate) fn tls(
    to: &mut Subject<'_>,
    directory: &Path,
    files: Option<(&Path, &Path)>,
    now: UnixTime,
) {
    let own = [
        directory.join("tls-certificate.pem"),
        directory.join("tls-key.pem"),
    ];
    let (certificate, key) = files.unwrap_or((&own[0], &own[1]));
    if files.is_none() && !certificate.exists() && !key.exists() {
        return to.ok("tls", "the pool makes a certificate at its first start");
    }
    let place = CertificatePlace::files(certificate.to_owned(), key.to_owned());
    let opened = match Certificate::open(place) {
        Ok(opened) => opened,
        Err(error) => {
            return to.wrong(
                "tls",
                error.to_string(),
                "put a certificate and its own key there, in PEM",
            );
        }
    };
    let step = "put another certificate and its key there; no restart is needed";
    ends(
        to,
        "tls",
        (opened.ends(), now),
        ("the certificate for TLS", step),
    );
}

/// The keys of a listener of Stratum V2.
pub(crate) fn keys(to: &mut Subject<'_>, place: &KeyPlace, now: UnixTime) {
    let facts = match place.look() {
        Ok(Some(facts)) => facts,
        Ok(None) => return to.ok("keys", "the pool makes its keys at its first start"),
        Err(error) => {
            return to.wrong(
                "keys",
                error.to_string(),
                "mend the file, or restore it from a backup",
            );
        }
    };
    if facts.can_sign {
        return to.ok(
            "keys",
            "the pool renews its certificate for Stratum V2 by itself",
        );
    }
    let end = UnixTime::from_secs(facts.certificate.not_valid_after());
    let step =
        "make a request with headframe keys request, sign it where the secret is, and install it";
    ends(
        to,
        "keys",
        (end, now),
        ("the certificate for Stratum V2", step),
    );
}

fn ends(
    to: &mut Subject<'_>,
    code: &'static str,
    (end, now): (UnixTime, UnixTime),
    (what, step): (&str, &str),
) {
    let text = format!("{what} holds until {}", Utc(end));
    match end.as_secs().checked_sub(now.as_secs()) {
        None => to.wrong(code, format!("{what} has ended, {}", Utc(end)), step),
        Some(..WARN_BEFORE) => to.note(code, text, step),
        Some(_) => to.ok(code, text),
    }
}

#[cfg(test)]
mod tests;
