//! Ctrl-C and the service manager's request to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled when the program is asked to stop. Asked twice, it ends at once.
pub(crate) fn token() -> CancellationToken {
    token_and(|| {})
}

/// As [`token`]; `last` is what is still done when the program ends at once.
pub(crate) fn token_and(last: impl FnOnce() + Send + 'static) -> CancellationToken {
    let token = CancellationToken::new();
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Then the first request ends the program at once, as it does any other.
        return token;
    };
    let asked = token.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        info!("stopping");
        asked.cancel();
        either(&mut interrupt, &mut terminate).await;
        last();
        std::process::exit(130);
    });
    token
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
