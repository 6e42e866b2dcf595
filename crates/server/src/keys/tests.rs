//! Keys on disk, as a pool and its operator meet them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn place(directory: &Path) -> KeyPlace {
    KeyPlace::new(directory, Keys::FILE_NAME)
}

fn text(directory: &Path) -> String {
    fs::read_to_string(directory.join(Keys::FILE_NAME)).unwrap()
}

fn mode(directory: &Path) -> u32 {
    let metadata = fs::metadata(directory.join(Keys::FILE_NAME)).unwrap();
    metadata.permissions().mode() & 0o777
}

#[test]
fn keys_are_made_once_and_for_the_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let made = Keys::open(directory.path()).unwrap();
    let first = text(directory.path());
    assert_eq!(mode(directory.path()), 0o600);
    let again = Keys::open(directory.path()).unwrap();
    assert_eq!(again.authority(), made.authority());
    assert_eq!(text(directory.path()), first);
}

#[test]
fn the_authority_is_read_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    assert!(place(directory.path()).look().unwrap().is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    // One that is to be renewed, which is the pool's to do.
    let old = Keys::about_to_expire(directory.path());
    old.place.write(&old.ring).unwrap();
    let before = text(directory.path());
    let facts = place(directory.path()).look().unwrap().unwrap();
    assert_eq!(facts.authority, old.authority());
    assert_eq!(text(directory.path()), before);
}

#[test]
fn a_file_that_others_can_read_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    Keys::open(directory.path()).unwrap();
    let path = directory.path().join(Keys::FILE_NAME);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    Keys::open(directory.path()).unwrap();
    assert_eq!(mode(directory.path()), 0o600);
}

#[test]
fn what_a_killed_pool_left_beside_neither_serves_nor_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let beside = directory.path().join("keys.new");
    fs::write(&beside, "half a ke").unwrap();
    fs::set_permissions(&beside, Permissions::from_mode(0o644)).unwrap();
    Keys::open(directory.path()).unwrap();
    assert_eq!(mode(directory.path()), 0o600);
    assert!(!beside.exists());
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    Keys::open(directory.path()).unwrap();
    let path = directory.path().join(Keys::FILE_NAME);
    let damaged = text(directory.path()).replace("static-secret", "static-sacred");
    fs::write(&path, &damaged).unwrap();
    let error = Keys::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("holds no keys"), "{error}");
    assert!(error.contains("restore it from a backup"), "{error}");
    assert_eq!(text(directory.path()), damaged);
}

#[test]
fn a_certificate_that_is_about_to_end_is_renewed_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let old = Keys::about_to_expire(directory.path());
    old.place.write(&old.ring).unwrap();
    let ring = old.ring;
    let renewed = Keys::open(directory.path()).unwrap();
    assert_eq!(renewed.authority(), ring.authority());
    let certificate = *renewed.ring.certificate();
    assert!(certificate.not_valid_after() > ring.certificate().not_valid_after());
    let again = Keys::open(directory.path()).unwrap();
    assert_eq!(again.ring.certificate(), &certificate, "it is signed once");
}

#[test]
fn rotation_changes_the_static_key_and_keeps_the_authority() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Keys::open(directory.path()).unwrap().authority();
    let before = text(directory.path());
    place(directory.path()).rotate().unwrap();
    let after = text(directory.path());
    let line = |text: &str, name: &str| {
        let mut lines = text.lines();
        lines.find(|line| line.starts_with(name)).map(str::to_owned)
    };
    for (name, stays) in [
        ("authority-public", true),
        ("authority-secret", true),
        ("static-secret", false),
        ("certificate", false),
    ] {
        assert_eq!(line(&before, name) == line(&after, name), stays, "{name}");
    }
    assert_eq!(Keys::open(directory.path()).unwrap().authority(), authority);
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A pool's directory and an authority's, as two computers have them.
struct Two {
    pool: tempfile::TempDir,
    safe: tempfile::TempDir,
}

impl Two {
    fn new() -> Self {
        Self {
            pool: tempfile::tempdir().unwrap(),
            safe: tempfile::tempdir().unwrap(),
        }
    }

    fn place(&self) -> KeyPlace {
        place(self.pool.path())
    }

    fn authority(&self) -> PathBuf {
        self.safe.path().join("authority")
    }

    /// Writes what was printed on one computer for the other.
    fn carry(&self, name: &str, text: &impl ToString) -> PathBuf {
        let path = self.safe.path().join(name);
        fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// A certificate for what the pool asks for now.
    fn sign(&self, new: bool, lifetime: Duration) -> PathBuf {
        let request = self.carry("request", &self.place().request(new).unwrap());
        let authority = Authority::open(&self.authority()).unwrap();
        self.carry("certificate", &authority.sign(&request, lifetime).unwrap())
    }
}

#[test]
fn a_pool_begins_with_a_certificate_from_elsewhere_and_goes_on_with_others() {
    let two = Two::new();
    let authority = Authority::create(&two.authority()).unwrap().public();
    let first = two.sign(false, 90 * DAY);
    let waits = Keys::open(two.pool.path()).unwrap_err().to_string();
    assert!(waits.contains("headframe keys install"), "{waits}");
    let installed = two.place().install(&first).unwrap();
    assert_eq!(
        (installed.authority, installed.can_sign),
        (authority, false)
    );
    assert_eq!(two.place().waiting().unwrap(), None);
    let keys = Keys::open(two.pool.path()).unwrap();
    assert_eq!(keys.authority(), authority);
    assert!(!text(two.pool.path()).contains("authority-secret"));
    assert_eq!(mode(two.pool.path()), 0o600);

    let renewed = two.place().install(&two.sign(false, 91 * DAY)).unwrap();
    assert_eq!(renewed.static_key, installed.static_key);
    let ends = |facts: &KeyFacts| facts.certificate.not_valid_after();
    assert!(ends(&renewed) > ends(&installed));
    let rotated = two.place().install(&two.sign(true, 90 * DAY)).unwrap();
    assert_ne!(rotated.static_key, installed.static_key);
    assert_eq!(rotated.authority, authority);
    let error = two.place().rotate().unwrap_err().to_string();
    assert!(error.contains("keys request --new"), "{error}");
}

#[test]
fn an_authority_that_began_at_the_pool_moves_away_and_signs_there() {
    let two = Two::new();
    let authority = Keys::open(two.pool.path()).unwrap().authority();
    let left = two.place().detach(&two.authority()).unwrap();
    assert_eq!((left.authority, left.can_sign), (authority, false));
    assert!(!text(two.pool.path()).contains("authority-secret"));
    assert_eq!(
        Authority::open(&two.authority()).unwrap().public(),
        authority
    );
    let renewed = two.place().install(&two.sign(false, DAY)).unwrap();
    assert_eq!(renewed.static_key, left.static_key);
    assert!(two.place().detach(&two.safe.path().join("again")).is_err());
}

#[test]
fn nothing_is_written_over_a_secret() {
    let two = Two::new();
    Keys::open(two.pool.path()).unwrap();
    Authority::create(&two.authority()).unwrap();
    let before = (text(two.pool.path()), fs::read(two.authority()).unwrap());
    let made = Authority::create(&two.authority()).unwrap_err();
    let moved = two.place().detach(&two.authority()).unwrap_err();
    for error in [made, moved] {
        assert!(matches!(error, KeyError::Exists { .. }), "{error}");
    }
    let after = (text(two.pool.path()), fs::read(two.authority()).unwrap());
    assert_eq!(before, after);
}

#[test]
fn each_certificate_that_does_not_fit_is_refused_with_what_to_do() {
    let two = Two::new();
    Authority::create(&two.authority()).unwrap();
    let good = two.sign(false, DAY);
    let nobody = place(two.safe.path()).install(&good).unwrap_err();
    assert!(matches!(nobody, KeyError::NothingAsked), "{nobody}");
    two.place().install(&good).unwrap();
    let before = text(two.pool.path());

    let other = Two::new();
    Authority::create(&other.authority()).unwrap();
    let request = two.place().request(false).unwrap();
    let bare = headframe_sv2_noise::CertificateRequest {
        authority: None,
        ..request
    };
    let (request, bare) = (other.carry("request", &request), other.carry("bare", &bare));
    let stranger = Authority::open(&other.authority()).unwrap();
    let refused = stranger.sign(&request, DAY).unwrap_err().to_string();
    assert!(refused.contains("is for the authority"), "{refused}");
    let by_other = other.carry("by-other", &stranger.sign(&bare, DAY).unwrap());
    let for_other = other.sign(true, DAY);
    for_other_authority(&two, &other);

    let authority = Authority::open(&two.authority()).unwrap();
    let stale = other.carry("stale", &{
        let asked = two.place().request(true).unwrap();
        let asked = two.carry("asked", &asked);
        // The request is made anew, and the certificate is for the one before.
        two.place().request(true).unwrap();
        authority.sign(&asked, DAY).unwrap()
    });
    let now = two.sign(false, Duration::ZERO);
    let damaged = fs::read_to_string(&now)
        .unwrap()
        .replace("certificate 0000", "certificate 0100");
    let damaged = two.carry("damaged", &damaged);
    for (file, expected) in [
        (&by_other, "sign the request with that one"),
        (&for_other, "sign the request with that one"),
        (&stale, "is for another static key than the pool's"),
        (&damaged, "was not signed by this authority"),
        (
            &request,
            "a certificate (`headframe-certificate 1`) belongs here, and this is a request",
        ),
        (
            &two.authority(),
            "belongs here, and this is the key file of an authority",
        ),
        (&two.pool.path().join("nowhere"), "cannot read"),
    ] {
        let error = two.place().install(file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(text(two.pool.path()), before);
}

/// What a wrong file at the authority's computer is called.
fn for_other_authority(two: &Two, other: &Two) {
    let certificate = two.safe.path().join("certificate");
    let authority = Authority::open(&other.authority()).unwrap();
    let error = authority.sign(&certificate, DAY).unwrap_err().to_string();
    let expected = "a request for a certificate (`headframe-request 1`) belongs here, and this is a certificate";
    assert!(error.contains(expected), "{error}");
    let error = Authority::open(&certificate).unwrap_err().to_string();
    assert!(error.contains("the key file of an authority"), "{error}");
}

#[test]
fn a_certificate_is_installed_in_its_time_alone() {
    let two = Two::new();
    let secret = headframe_sv2_noise::AuthoritySecretKey::from_bytes([5; 32]).unwrap();
    let request = two.place().request(false).unwrap();
    let now = wall_clock().as_secs();
    for (signed_at, expected) in [
        (now - 100_000, "the certificate ended on "),
        (now + 100_000, "the certificate begins on "),
    ] {
        let signed = request.sign(&secret, 60, signed_at, &[0; 32]).unwrap();
        let file = two.carry("certificate", &signed);
        let error = two.place().install(&file).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("clocks"),
            "{error}"
        );
    }
}

#[test]
fn an_authority_s_file_that_others_can_read_does_not_sign() {
    let two = Two::new();
    Authority::create(&two.authority()).unwrap();
    let metadata = fs::metadata(two.authority()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    fs::set_permissions(two.authority(), Permissions::from_mode(0o640)).unwrap();
    let error = Authority::open(&two.authority()).unwrap_err().to_string();
    assert!(
        error.contains("mode 640") && error.contains("chmod 600"),
        "{error}"
    );
}

#[test]
fn a_request_is_for_the_same_key_until_a_new_one_is_asked_for() {
    let two = Two::new();
    let first = two.place().request(false).unwrap();
    assert_eq!(two.place().request(false).unwrap(), first);
    let second = two.place().request(true).unwrap();
    assert_ne!(second.static_key, first.static_key);
    let (waiting, path) = two.place().waiting().unwrap().unwrap();
    assert_eq!(waiting, second.static_key);
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let with_keys = Two::new();
    let keys = Keys::open(with_keys.pool.path()).unwrap();
    let asked = with_keys.place().request(false).unwrap();
    assert_eq!(asked.static_key, keys.identity().public());
    assert_eq!(asked.authority, Some(keys.authority()));
}

#[test]
fn a_file_that_no_keys_can_fill_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(Keys::FILE_NAME);
    fs::write(&path, "#".repeat(20_000)).unwrap();
    let error = Keys::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}
