//! Each finding of this computer, right and wrong.

use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_server::{Authority, Keys};
use headframe_transport::self_signed;

use super::super::finding::{Finding, Level};
use super::*;

fn of_directory(path: &Path) -> Findings {
    let mut findings = Findings::default();
    directory(&mut findings, path, Some(Network::Regtest));
    findings
}

fn only(mut look: impl FnMut(&mut Subject<'_>), code: &str) -> Finding {
    let mut findings = Findings::default();
    look(&mut findings.about("it"));
    findings.only(code).clone()
}

/// Where the system shows itself as files, whoever may write there.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_is_on_no_disk_is_wrong() {
    for path in ["/proc", "/proc/headframe/data"] {
        let found = of_directory(Path::new(path));
        let finding = found.only("data_dir");
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("/proc is no disk"), "{finding:?}");
    }
}

#[test]
fn a_directory_is_told_whether_it_is_there_or_not() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a/b");
    let missing = of_directory(&path);
    assert!(missing.only("data_dir").text.contains("the pool makes it"));
    assert!(!path.exists(), "nothing is made");
    let dir = DataDir::open(&path).unwrap();
    drop(SqliteLedger::open(&dir, Retention::default()).unwrap());
    let there = of_directory(&path);
    assert_eq!(there.only("data_dir").level, Level::Ok);
    assert_eq!(there.only("blocks").text, "0 blocks were found");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let open = of_directory(&path);
    assert_eq!(open.only("data_dir").level, Level::Note);
    let step = open.only("data_dir").next_step.clone().unwrap();
    assert!(step.starts_with("chmod 700 "), "{step}");
}

#[test]
fn a_directory_that_cannot_be_written_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere.
    let is_root = fs::write(place.path().join("probe"), "").is_ok();
    let findings = of_directory(place.path());
    assert_eq!(findings.only("data_dir").level == Level::Wrong, !is_root);
}

#[test]
fn a_ledger_of_another_program_and_a_block_without_an_answer_are_told() {
    let place = tempfile::tempdir().unwrap();
    let blocks = place.path().join("blocks");
    fs::create_dir(&blocks).unwrap();
    fs::write(blocks.join(format!("7-{}.hex", "07".repeat(32))), "aa").unwrap();
    let open = of_directory(place.path());
    assert_eq!(open.only("blocks").level, Level::Note);
    fs::write(
        place.path().join("ledger.sqlite"),
        "not a database".repeat(999),
    )
    .unwrap();
    assert_eq!(
        of_directory(place.path()).only("ledger").level,
        Level::Wrong
    );
}

#[test]
fn little_room_is_told_of_before_there_is_none() {
    for (free, level) in [
        (0, Level::Wrong),
        (SPACE_NEEDED - 1, Level::Wrong),
        (SPACE_NEEDED, Level::Note),
        (SPACE_NOTED - 1, Level::Note),
        (SPACE_NOTED, Level::Ok),
        (u64::MAX, Level::Ok),
    ] {
        assert_eq!(only(|to| room(to, free), "disk").level, level, "{free}");
    }
}

#[test]
fn a_port_is_free_or_the_pool_s_or_somebody_else_s() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    let of = |place: SocketAddr, is_running| {
        let mut findings = Findings::default();
        ports(&mut findings, [place], None, is_running);
        findings.codes()[0].1
    };
    assert_eq!(of(place, true), Level::Ok);
    assert_eq!(of(place, false), Level::Wrong);
    drop(taken);
    assert_eq!(of(place, false), Level::Ok);
    // Reserved for documentation (RFC 5737): no address of this computer, whoever runs.
    assert_eq!(of("192.0.2.1:3333".parse().unwrap(), true), Level::Wrong);
}

#[test]
fn the_limit_on_open_files_is_held_against_the_connections() {
    let of = |room| {
        let mut findings = Findings::default();
        files(&mut findings, 1_000, (1_024, room));
        findings.only("open_files").level
    };
    assert_eq!((of(1_000), of(999)), (Level::Ok, Level::Note));
}

#[test]
fn a_certificate_is_read_and_its_end_is_told() {
    let place = tempfile::tempdir().unwrap();
    let of = |now| {
        only(
            |to| tls(to, place.path(), None, UnixTime::from_secs(now)),
            "tls",
        )
    };
    assert!(of(0).text.contains("at its first start"));
    let day = 24 * 3_600;
    let made = self_signed(&["localhost".to_owned()], 0, 100 * day).unwrap();
    fs::write(place.path().join("tls-key.pem"), &*made.key).unwrap();
    assert_eq!(of(0).level, Level::Wrong, "half of it");
    fs::write(place.path().join("tls-certificate.pem"), &*made.certificate).unwrap();
    assert_eq!(of(85 * day).level, Level::Ok);
    assert_eq!(of(87 * day).level, Level::Note);
    assert_eq!(of(101 * day).level, Level::Wrong);
    fs::write(place.path().join("tls-certificate.pem"), "nonsense").unwrap();
    assert_eq!(of(0).level, Level::Wrong);
}

#[test]
fn keys_that_cannot_sign_have_an_end() {
    let place = tempfile::tempdir().unwrap();
    let keys_at = KeyPlace::new(place.path(), "keys");
    let of = |now| only(|to| keys(to, &keys_at, UnixTime::from_secs(now)), "keys");
    assert!(of(0).text.contains("at its first start"));
    drop(Keys::open(place.path()).unwrap());
    assert!(of(u32::MAX).text.contains("by itself"));
    let facts = keys_at.detach(&place.path().join("authority")).unwrap();
    assert!(Authority::open(&place.path().join("authority")).is_ok());
    let end = facts.certificate.not_valid_after();
    assert_eq!(of(end + 1).level, Level::Wrong);
    assert_eq!(of(end - 1).level, Level::Note);
    fs::write(keys_at.path(), "nonsense").unwrap();
    assert_eq!(of(0).level, Level::Wrong);
}
