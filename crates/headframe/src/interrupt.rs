//! Ctrl-C and the service manager's request to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled when the program is asked to stop. Asked twice, it ends at once.
pub(crate) fn token() -> CancellationToken {
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        wait().await;
        info!("stopping");
        asked.cancel();
        wait().await;
        std::process::exit(130);
    });
    token
}

async fn wait() {
    let terminate = signal(SignalKind::terminate());
    let Ok(mut terminate) = terminate else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
