//! Keeps a running pool's certificate fresh: renews it in time, or says in time that somebody has to,
//! and takes up what the operator puts into the key file.
//!
//! Miners that are connected keep their connection; new ones are answered with the new identity.

use std::sync::Arc;
use std::time::Duration;

use headframe_sv2_noise::StaticIdentity;
use headframe_work::UnixTime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Change, KeyError, Keys};
use crate::clock::{Utc, until_shutdown, wall_clock};
use crate::news::{CertificateNews, News};

/// How often the key file and the certificate's age are looked at: an operator who installs a
/// certificate sees it taken up.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What has not changed is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(24 * 3_600);

/// The one who keeps a set of keys while the pool runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    keys: Keys,
    identity: watch::Sender<Arc<StaticIdentity>>,
    news: mpsc::Sender<News>,
    /// What the board knows.
    told: Option<CertificateNews>,
    /// What the log has, and since when.
    said: Option<(String, Instant)>,
}

impl Keeper {
    /// The keeper, and where acceptors find the identity of the time.
    pub(crate) fn new(
        keys: Keys,
        news: mpsc::Sender<News>,
    ) -> (Self, watch::Receiver<Arc<StaticIdentity>>) {
        let (identity, identities) = watch::channel(keys.identity());
        let keeper = Self {
            keys,
            identity,
            news,
            told: None,
            said: None,
        };
        (keeper, identities)
    }

    /// Keeps the keys until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        until_shutdown(LOOK_EVERY, &shutdown, || self.look()).await;
    }

    fn look(&mut self) {
        let refreshed = self.keys.refresh();
        match &refreshed {
            Ok(Some(Change::Renewed)) => info!("the pool's certificate is renewed"),
            Ok(Some(Change::Installed)) => info!(
                "{} is new; connections from now on are answered with the certificate in it",
                self.keys.path().display()
            ),
            Ok(None) | Err(_) => {}
        }
        if let Ok(Some(_)) = refreshed {
            self.identity.send_replace(self.keys.identity());
        }
        let troubled = refreshed.err().or_else(|| self.keys.save().err());
        let now = wall_clock();
        match troubled {
            Some(trouble) => self.say(&trouble),
            None => self.say_end(now),
        }
        self.tell_board();
    }

    fn say(&mut self, trouble: &KeyError) {
        if self.is_new(trouble.to_string()) {
            warn!("{trouble}");
        }
    }

    /// That the certificate ends and the pool cannot renew it.
    fn say_end(&mut self, now: UnixTime) {
        let facts = self.keys.news();
        if facts.is_renewed_here || now <= facts.renew_from {
            self.said = None;
            return;
        }
        let ends = Utc(facts.ends);
        let path = self.keys.path().display().to_string();
        if !self.is_new(format!("{ends} {}", now > facts.ends)) {
            return;
        }
        let advice = "make a request with headframe keys request, sign it where the authority's \
                      secret is, and install the certificate; no restart is needed";
        match now > facts.ends {
            true => error!(
                "the certificate in {path} ended on {ends}: Stratum V2 miners turn away; {advice}"
            ),
            false => warn!("the certificate in {path} ends on {ends}; {advice}"),
        }
    }

    /// Whether the log has not had this within a day.
    fn is_new(&mut self, text: String) -> bool {
        let is_known = |(said, at): &(String, Instant)| *said == text && at.elapsed() < SAY_AGAIN;
        if self.said.as_ref().is_some_and(is_known) {
            return false;
        }
        self.said = Some((text, Instant::now()));
        true
    }

    fn tell_board(&mut self) {
        let news = self.keys.news();
        // What the board's queue has no room for is told at the next look.
        if self.told.as_ref() != Some(&news)
            && self.news.try_send(News::Certificate(news.clone())).is_ok()
        {
            self.told = Some(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::keys::KeyPlace;

    /// A keeper at work; what it answers handshakes with, and what it tells the board.
    fn keep(
        keys: Keys,
        shutdown: &CancellationToken,
    ) -> (
        watch::Receiver<Arc<StaticIdentity>>,
        mpsc::Receiver<News>,
        tokio::task::JoinHandle<()>,
    ) {
        let (news, board) = mpsc::channel(16);
        let (keeper, identities) = Keeper::new(keys, news);
        let keeping = tokio::spawn(keeper.run(shutdown.clone()));
        (identities, board, keeping)
    }

    async fn certificate(board: &mut mpsc::Receiver<News>) -> CertificateNews {
        match board.recv().await.unwrap() {
            News::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_while_the_pool_runs() {
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::about_to_expire(directory.path());
        let authority = keys.authority();
        let old = keys.identity();
        let shutdown = CancellationToken::new();
        let (mut identities, mut board, keeping) = keep(keys, &shutdown);
        identities.changed().await.unwrap();
        let new = Arc::clone(&identities.borrow());
        let (before, after) = (old.certificate(), new.certificate());
        assert!(after.not_valid_after() > before.not_valid_after());
        let told = certificate(&mut board).await;
        assert_eq!(told.ends.as_secs(), after.not_valid_after());
        assert!(told.is_renewed_here);
        shutdown.cancel();
        keeping.await.unwrap();
        let kept = Keys::open(directory.path()).unwrap();
        assert_eq!(kept.authority(), authority);
        assert_eq!(
            kept.identity().certificate(),
            after,
            "the next start shows the same"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_operator_changes_is_taken_up_while_the_pool_runs() {
        let directory = tempfile::tempdir().unwrap();
        let place = KeyPlace::new(directory.path(), Keys::FILE_NAME);
        let keys = Keys::open(directory.path()).unwrap();
        let old = keys.identity().public();
        let shutdown = CancellationToken::new();
        let (mut identities, mut board, keeping) = keep(keys, &shutdown);
        assert!(certificate(&mut board).await.is_renewed_here);
        let rotated = place.rotate().unwrap();
        assert_ne!(rotated.static_key, old);
        identities.changed().await.unwrap();
        assert_eq!(identities.borrow_and_update().public(), rotated.static_key);
        place.detach(&directory.path().join("away")).unwrap();
        let told = loop {
            let told = certificate(&mut board).await;
            if !told.is_renewed_here {
                break told;
            }
        };
        let ends = rotated.certificate.not_valid_after();
        assert_eq!(told.ends.as_secs(), ends);
        assert!(
            !identities.has_changed().unwrap(),
            "the certificate is the same"
        );
        shutdown.cancel();
        keeping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_not_the_pool_s_is_neither_taken_up_nor_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let file = |directory: &Path| directory.join(Keys::FILE_NAME);
        Keys::open(other.path()).unwrap();
        let foreign = std::fs::read_to_string(file(other.path())).unwrap();
        for text in [foreign.as_str(), "half a ke"] {
            let mut keys = Keys::about_to_expire(directory.path());
            let authority = keys.authority();
            keys.save().unwrap();
            std::fs::remove_file(file(directory.path())).unwrap();
            std::fs::write(file(directory.path()), text).unwrap();
            let error = keys.refresh().unwrap_err().to_string();
            let path = file(directory.path()).display().to_string();
            assert!(error.contains(&path), "{error}");
            // It is to be renewed, and that serves as long as the pool runs.
            assert_eq!(keys.refresh().unwrap(), Some(Change::Renewed));
            keys.save().unwrap();
            assert_eq!(keys.authority(), authority);
            let there = std::fs::read_to_string(file(directory.path())).unwrap();
            assert_eq!(there, text);
        }
    }
}
