//! Looks at a running pool's certificate: takes up what the operator puts into its files, keeps what it
//! has where that cannot be used, and says in time that it ends.
//!
//! Miners that are connected keep their connection; new ones are answered with the new certificate.

use std::time::Duration;

use headframe_transport::TlsIdentity;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Certificate;
use crate::clock::{Utc, until_shutdown, wall_clock};
use crate::news::{News, TlsNews};

/// How often the files are looked at: an operator who installs a certificate sees it taken up.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// That a certificate ends is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(24 * 3_600);

/// The one who keeps a certificate while the pool runs.
#[derive(Debug)]
pub(crate) struct TlsKeeper {
    certificate: Certificate,
    identity: watch::Sender<TlsIdentity>,
    news: mpsc::Sender<News>,
    /// What the board knows.
    told: Option<TlsNews>,
    /// When the log was last told of the end.
    said: Option<Instant>,
}

impl TlsKeeper {
    /// The keeper, and where acceptors find the certificate of the time.
    pub(crate) fn new(
        certificate: Certificate,
        news: mpsc::Sender<News>,
    ) -> (Self, watch::Receiver<TlsIdentity>) {
        let (identity, identities) = watch::channel(certificate.identity());
        let keeper = Self {
            certificate,
            identity,
            news,
            told: None,
            said: None,
        };
        (keeper, identities)
    }

    /// Keeps the certificate until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        until_shutdown(LOOK_EVERY, &shutdown, || self.look()).await;
    }

    fn look(&mut self) {
        match self.certificate.refresh() {
            Ok(true) => {
                self.identity.send_replace(self.certificate.identity());
                self.said = None;
                let TlsNews {
                    path, fingerprint, ..
                } = self.certificate.news();
                let path = path.display();
                info!("the certificate that is in {path} now is in use, SHA-256 {fingerprint}");
            }
            Ok(false) => {}
            Err(trouble) => warn!("{trouble}; the pool goes on with the certificate that it has"),
        }
        self.say_end();
        self.tell_board();
    }

    fn say_end(&mut self) {
        let is_known = self.said.is_some_and(|said| said.elapsed() < SAY_AGAIN);
        if is_known || !self.certificate.is_ending() {
            return;
        }
        self.said = Some(Instant::now());
        let TlsNews { path, ends, .. } = self.certificate.news();
        let (path, end) = (path.display(), Utc(ends));
        match wall_clock() > ends {
            true => error!(
                "the certificate in {path} ended on {end}: miners may turn away; put another one there, no restart is needed"
            ),
            false => warn!(
                "the certificate in {path} ends on {end}; put another one there, no restart is needed"
            ),
        }
    }

    fn tell_board(&mut self) {
        let news = self.certificate.news();
        // What the board's queue has no room for is told at the next look.
        if self.told.as_ref() != Some(&news) && self.news.try_send(News::Tls(news.clone())).is_ok()
        {
            self.told = Some(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use headframe_transport::{SelfSigned, self_signed};

    use super::super::{CertificatePlace, Certificates};
    use super::*;

    /// Puts a certificate into the operator's files.
    fn install(directory: &Path, ends_in_days: i64) -> SelfSigned {
        let now = i64::from(wall_clock().as_secs());
        let at = |days: i64| u32::try_from(now + days * 24 * 3_600).unwrap();
        let names = ["pool.example".to_owned()];
        let made = self_signed(&names, at(-90), at(ends_in_days)).unwrap();
        fs::write(directory.join("chain.pem"), &made.certificate).unwrap();
        fs::write(directory.join("key.pem"), made.key.as_bytes()).unwrap();
        made
    }

    fn files(directory: &Path) -> CertificatePlace {
        CertificatePlace::files(directory.join("chain.pem"), directory.join("key.pem"))
    }

    async fn told(board: &mut mpsc::Receiver<News>) -> TlsNews {
        match board.recv().await.unwrap() {
            News::Tls(news) => news,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_taken_up_and_bad_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        install(directory.path(), 60);
        let certificate = Certificate::open(files(directory.path())).unwrap();
        let first = certificate.fingerprint();
        let (news, mut board) = mpsc::channel(16);
        let (keeper, mut identities) = TlsKeeper::new(certificate, news);
        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(keeper.run(shutdown.clone()));
        let begin = told(&mut board).await;
        assert_eq!((begin.fingerprint, begin.trouble), (first, None));

        install(directory.path(), 90);
        identities.changed().await.unwrap();
        let second = identities.borrow_and_update().fingerprint();
        assert_ne!(second, first);
        assert_eq!(told(&mut board).await.fingerprint, second);

        fs::write(directory.path().join("chain.pem"), "half a certific").unwrap();
        let bad = told(&mut board).await;
        assert_eq!(bad.fingerprint, second, "what was in use stays");
        let (trouble, _) = bad.trouble.unwrap();
        assert!(trouble.contains("chain.pem"), "{trouble}");
        assert!(
            trouble.contains("there is no certificate in it"),
            "{trouble}"
        );
        assert!(!identities.has_changed().unwrap());

        install(directory.path(), 120);
        identities.changed().await.unwrap();
        assert_eq!(told(&mut board).await.trouble, None);
        shutdown.cancel();
        keeping.await.unwrap();
    }

    /// The first certificate alone is what miners know; who vouches for it is what strangers need.
    #[tokio::test(start_paused = true)]
    async fn a_chain_that_was_mended_is_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        let made = install(directory.path(), 60);
        let certificate = Certificate::open(files(directory.path())).unwrap();
        let first = certificate.fingerprint();
        let (news, _board) = mpsc::channel(16);
        let (keeper, mut identities) = TlsKeeper::new(certificate, news);
        let shutdown = CancellationToken::new();
        let keeping = tokio::spawn(keeper.run(shutdown.clone()));
        let vouches = self_signed(&["ca.example".to_owned()], 0, u32::MAX).unwrap();
        let chain = format!("{}{}", made.certificate, vouches.certificate);
        fs::write(directory.path().join("chain.pem"), chain).unwrap();
        let taken_up = tokio::time::timeout(10 * LOOK_EVERY, identities.changed());
        taken_up.await.expect("within a few looks").unwrap();
        assert_eq!(identities.borrow_and_update().fingerprint(), first);
        shutdown.cancel();
        keeping.await.unwrap();
    }

    #[test]
    fn its_own_certificate_is_made_once_and_its_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let place = CertificatePlace::own(directory.path(), vec!["192.168.1.20".to_owned()]);
        let made = Certificate::open(place.clone()).unwrap();
        let again = Certificate::open(place.clone()).unwrap();
        assert_eq!(again.fingerprint(), made.fingerprint());
        let mode = fs::metadata(&place.key).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let years = (made.ends().as_secs() - wall_clock().as_secs()) / (365 * 24 * 3_600);
        assert!(years >= 19 && !made.is_ending());
        fs::remove_file(&place.key).unwrap();
        let error = Certificate::open(place).unwrap_err().to_string();
        assert!(error.contains("restore it from a backup"), "{error}");
    }

    #[test]
    fn listeners_with_the_same_files_have_one_certificate() {
        let directory = tempfile::tempdir().unwrap();
        install(directory.path(), 60);
        let mut certificates = Certificates::default();
        let first = certificates.open(files(directory.path())).unwrap();
        assert_eq!(certificates.open(files(directory.path())).unwrap(), first);
        let own = CertificatePlace::own(directory.path(), Vec::new());
        assert_ne!(certificates.open(own).unwrap(), first);
        assert_eq!(certificates.into_iter().count(), 2);
    }

    #[test]
    fn an_end_is_spoken_of_two_weeks_before() {
        let directory = tempfile::tempdir().unwrap();
        for (days, is_ending) in [(60, false), (15, false), (13, true), (-1, true)] {
            install(directory.path(), days);
            let certificate = Certificate::open(files(directory.path())).unwrap();
            assert_eq!(certificate.is_ending(), is_ending, "{days} days");
        }
    }
}
