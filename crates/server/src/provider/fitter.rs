//! Templates fitted to what clients need, each once for all who need the same.
//!
//! One at a time, beside the tasks: thousands of transactions are hashed for it. Whoever changes what it needs again and
//! again waits for those that do not, so that it delays a new tip by one cut at most. Who connects anew each time is not seen
//! to be the same.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use headframe_distribution::{CoinbaseConstraints, FitError, FittedTemplate};
use headframe_node::TemplateUpdate;
use headframe_work::Template;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tracing::error;

use super::source::Word;

/// Needs for which a template is kept fitted; of clients with others, each has its own.
pub const MAX_FITS: usize = 16;
/// Orders that were not looked at yet; whoever has another waits. A client has one at a time.
const QUEUE: usize = 64;

/// The node's newest template, as a client is to have it.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) update: Arc<TemplateUpdate>,
    /// What it is fitted to.
    pub(super) constraints: CoinbaseConstraints,
    pub(super) fitted: Result<Arc<FittedTemplate>, FitError>,
}

/// Where clients ask for templates.
#[derive(Debug, Clone)]
pub(super) struct Counter(mpsc::Sender<Order>);

#[derive(Debug)]
struct Order {
    constraints: CoinbaseConstraints,
    /// Others are served before it.
    is_restless: bool,
    reply: oneshot::Sender<Fit>,
}

/// Fits templates as they are asked for.
#[derive(Debug)]
pub(super) struct Fitter {
    orders: mpsc::Receiver<Order>,
    waiting: Waiting,
    words: watch::Receiver<Word>,
    fits: Fits,
}

impl Counter {
    /// The newest template when its turn has come. `None`: there is none, or it cannot be fitted to anything.
    pub(super) async fn order(
        self,
        constraints: CoinbaseConstraints,
        is_restless: bool,
    ) -> Option<Fit> {
        let (reply, fit) = oneshot::channel();
        let order = Order {
            constraints,
            is_restless,
            reply,
        };
        self.0.send(order).await.ok()?;
        fit.await.ok()
    }
}

impl Fitter {
    pub(super) fn new(words: watch::Receiver<Word>) -> (Self, Counter) {
        let (sender, orders) = mpsc::channel(QUEUE);
        let fitter = Self {
            orders,
            waiting: Waiting::default(),
            words,
            fits: Fits::default(),
        };
        (fitter, Counter(sender))
    }

    /// Works until nobody can ask any more.
    pub(super) async fn run(mut self) {
        while let Some(order) = self.next().await {
            let Some(update) = self.words.borrow().update.clone() else {
                continue;
            };
            let fitted = self.fits.fit(&update.template, order.constraints).await;
            if let Some(fitted) = fitted {
                // Whoever asked may have left.
                let _ = order.reply.send(Fit {
                    update,
                    constraints: order.constraints,
                    fitted,
                });
            }
        }
    }

    /// The next of all who have asked until now.
    async fn next(&mut self) -> Option<Order> {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.waiting.push(order);
            }
            if let Some(order) = self.waiting.pop() {
                return Some(order);
            }
            self.waiting.push(self.orders.recv().await?);
        }
    }
}

/// Who waits: as many as there are clients.
#[derive(Debug, Default)]
struct Waiting {
    quiet: VecDeque<Order>,
    restless: VecDeque<Order>,
}

impl Waiting {
    /// Those who have left take no place.
    fn push(&mut self, order: Order) {
        let line = match order.is_restless {
            true => &mut self.restless,
            false => &mut self.quiet,
        };
        line.retain(|other| !other.reply.is_closed());
        line.push_back(order);
    }

    fn pop(&mut self) -> Option<Order> {
        let next = || self.quiet.pop_front().or_else(|| self.restless.pop_front());
        core::iter::from_fn(next).find(|order| !order.reply.is_closed())
    }
}

/// The newest template, for each kind of need.
#[derive(Debug, Default)]
struct Fits {
    of: Option<Arc<Template>>,
    fits: HashMap<CoinbaseConstraints, Arc<FittedTemplate>>,
}

impl Fits {
    /// `None`: it panicked.
    async fn fit(
        &mut self,
        template: &Arc<Template>,
        constraints: CoinbaseConstraints,
    ) -> Option<Result<Arc<FittedTemplate>, FitError>> {
        if !(self.of.as_ref()).is_some_and(|of| Arc::ptr_eq(of, template)) {
            self.of = Some(Arc::clone(template));
            self.fits.clear();
        }
        if let Some(fitted) = self.fits.get(&constraints) {
            return Some(Ok(Arc::clone(fitted)));
        }
        let whole = Arc::clone(template);
        let fitting =
            spawn_blocking(move || FittedTemplate::new(&whole, constraints).map(Arc::new));
        let fitted = fitting
            .await
            .inspect_err(|error| error!("a template could not be fitted: {error}"))
            .ok()?;
        if let Ok(fitted) = &fitted
            && self.fits.len() < MAX_FITS
        {
            self.fits.insert(constraints, Arc::clone(fitted));
        }
        Some(fitted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
    use headframe_node::{Cause, HeaderWindow};

    use super::*;

    fn update() -> Arc<TemplateUpdate> {
        let difficulty = Difficulty::Regtest;
        let chain = EmbeddedChain::open(None, ChainSettings { difficulty }).unwrap();
        let template = chain.template();
        Arc::new(TemplateUpdate {
            cause: Cause::NewTip,
            received: Instant::now(),
            window: HeaderWindow::unbounded(&template),
            template: template.into(),
        })
    }

    fn word(update: &Arc<TemplateUpdate>) -> Word {
        Word {
            update: Some(Arc::clone(update)),
            away_since: None,
        }
    }

    fn needs(size: u32) -> CoinbaseConstraints {
        CoinbaseConstraints { size, sigops: 0 }
    }

    /// An order of so much room, and where its template comes.
    fn order(size: u32, is_restless: bool) -> (Order, oneshot::Receiver<Fit>) {
        let (reply, fit) = oneshot::channel();
        let constraints = needs(size);
        let order = Order {
            constraints,
            is_restless,
            reply,
        };
        (order, fit)
    }

    #[test]
    fn whoever_changes_its_needs_without_end_waits_for_those_that_do_not() {
        let mut waiting = Waiting::default();
        let mut fits = Vec::new();
        for (size, is_restless) in [(1, true), (2, true), (3, false), (4, true), (5, false)] {
            let (order, fit) = order(size, is_restless);
            waiting.push(order);
            fits.push(fit);
        }
        // It has left.
        fits.remove(1);
        let mut order_of = || waiting.pop().map(|order| order.constraints.size);
        let served: Vec<_> = core::iter::from_fn(&mut order_of).collect();
        assert_eq!(served, [3, 5, 1, 4]);
    }

    #[test]
    fn those_who_come_and_go_take_no_place() {
        let mut waiting = Waiting::default();
        for size in 0..1_000 {
            waiting.push(order(size, size % 2 == 0).0);
        }
        assert!(waiting.quiet.len() + waiting.restless.len() <= 2);
        assert!(waiting.pop().is_none());
    }

    /// Who has waited while the tip changed is given the new one.
    #[tokio::test]
    async fn the_newest_template_is_given_when_the_turn_has_come() {
        let [first, second] = [update(), update()];
        let (words, heard) = watch::channel(word(&first));
        let (fitter, counter) = Fitter::new(heard);
        let fitting = tokio::spawn(fitter.run());
        let fit = counter.clone().order(needs(7), false).await.unwrap();
        assert!(Arc::ptr_eq(&fit.update, &first));
        assert_eq!(fit.constraints, needs(7));
        let again = counter.clone().order(needs(7), true).await.unwrap();
        let [one, other] = [fit, again].map(|fit| fit.fitted.unwrap());
        assert!(Arc::ptr_eq(&one, &other), "it is cut once");
        words.send_replace(word(&second));
        let fit = counter.clone().order(needs(7), false).await.unwrap();
        assert!(Arc::ptr_eq(&fit.update, &second));
        assert!(core::ptr::eq(
            fit.fitted.unwrap().whole(),
            &*second.template
        ));
        words.send_replace(Word::default());
        assert!(counter.clone().order(needs(7), false).await.is_none());
        drop(counter);
        fitting.await.unwrap();
    }
}
