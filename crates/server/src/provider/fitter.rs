//! Templates fitted to what clients need, each once for all who need the same.

use std::collections::HashMap;
use std::sync::Arc;

use headframe_distribution::{CoinbaseConstraints, FitError, FittedTemplate};
use headframe_work::Template;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Needs for which a template is kept fitted; of clients with others, each has its own.
pub const MAX_FITS: usize = 16;

/// The newest template, as clients have it.
#[derive(Debug, Default)]
pub(super) struct Fitter(Mutex<Fits>);

#[derive(Debug, Default)]
struct Fits {
    of: Option<Arc<Template>>,
    fits: HashMap<CoinbaseConstraints, Arc<FittedTemplate>>,
}

impl Fitter {
    /// `template`, fitted. Thousands of transactions are hashed for it: beside the tasks, one template at a
    /// time.
    pub(super) async fn fit(
        &self,
        template: &Arc<Template>,
        constraints: CoinbaseConstraints,
    ) -> Result<Arc<FittedTemplate>, FitError> {
        let mut fits = self.0.lock().await;
        if !(fits.of.as_ref()).is_some_and(|of| Arc::ptr_eq(of, template)) {
            fits.of = Some(Arc::clone(template));
            fits.fits.clear();
        }
        if let Some(fitted) = fits.fits.get(&constraints) {
            return Ok(Arc::clone(fitted));
        }
        let whole = Arc::clone(template);
        let fitting = spawn_blocking(move || FittedTemplate::new(&whole, constraints));
        let fitted = match fitting.await {
            Ok(fitted) => Arc::new(fitted?),
            // Where it panicked, whoever asked for it panics too, and nobody else.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if fits.fits.len() < MAX_FITS {
            fits.fits.insert(constraints, Arc::clone(&fitted));
        }
        Ok(fitted)
    }
}
