//! The connection to a provider: made, followed, made again.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_distribution::client::{
    ClientEvent, ClientSession, ClientSettings, OfferedTemplate, ProviderTip, SubmitError,
};
use headframe_distribution::{Frame, MAX_PAYLOAD_LEN};
use headframe_transport::{
    CurvePool, DialError, DialSettings, Dialer, Filled, FrameStream, TransportError,
};
use headframe_work::{Network, Template};
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use super::ahead::new_tip;
use super::assemble::{Flaw, Pieces, assemble};
use super::pulse::{Due, Patience, Pulse};
use super::sink::HandedIn;
use super::tips::Tips;
use super::unnamed::{Solution, Unnamed};
use super::{COINBASE_CONSTRAINTS, ProviderAddress};
use crate::news::{News, tell_error};
use crate::{Cause, Condition, HeaderWindow, NewTip, NodeError, NodeStatus, TemplateUpdate, Tip};

/// The first wait after an error, doubled with each error after it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without a word from the provider's machine it is asked whether it is there, and then so
/// often, three times.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// The task's own.
pub(super) struct Link {
    network: Network,
    provider: ProviderAddress,
    dialer: Dialer,
    patience: Patience,
    /// The provider hung up when it was asked for a template that it had not given.
    asks_known: bool,
    status: watch::Sender<NodeStatus>,
    news: watch::Sender<Option<News>>,
    new_tips: watch::Sender<Option<NewTip>>,
    tips: Arc<Tips>,
    solutions: mpsc::Receiver<HandedIn>,
    unnamed: Unnamed,
}

/// Where the task tells what it knows. In each only the newest matters.
pub(super) struct Slots {
    pub(super) status: watch::Sender<NodeStatus>,
    pub(super) news: watch::Sender<Option<News>>,
    pub(super) new_tips: watch::Sender<Option<NewTip>>,
}

/// A template on its way to the pool.
#[derive(Debug, Clone)]
struct Wanted {
    template: Arc<OfferedTemplate>,
    tip: Arc<ProviderTip>,
    /// Since when transactions were asked for and none came.
    asked: Instant,
    /// The provider said that another follows.
    is_stale: bool,
}

/// What one connection is about.
struct Following {
    session: ClientSession,
    stream: FrameStream,
    pulse: Pulse,
    /// The template that was named or given last.
    present: Option<u64>,
    /// The newest template, while its transactions are awaited.
    wanted: Option<Wanted>,
    /// The transactions of the newest template for the future, once they are there.
    ahead: Option<(u64, Vec<Vec<u8>>)>,
    /// The newest template for the future, unless it was named or its transactions were refused.
    future: Option<u64>,
    /// A template that is put together beside the tasks.
    assembling: Option<JoinHandle<Result<Template, Flaw>>>,
}

impl Link {
    pub(super) fn new(
        network: Network,
        provider: ProviderAddress,
        patience: Patience,
        slots: Slots,
        tips: Arc<Tips>,
        solutions: mpsc::Receiver<HandedIn>,
    ) -> Self {
        let settings = DialSettings {
            frame_limit: MAX_PAYLOAD_LEN,
            ..DialSettings::default()
        };
        Self {
            network,
            provider,
            dialer: Dialer::new(settings, CurvePool::new()),
            patience,
            asks_known: false,
            status: slots.status,
            news: slots.news,
            new_tips: slots.new_tips,
            tips,
            solutions,
            unnamed: Unnamed::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.network {
                // BIP94 needs the time of the block before.
                Network::Testnet4 => NodeError::Untold {
                    network: self.network,
                },
                Network::Mainnet | Network::Signet | Network::Regtest => self.follow().await,
            };
            wait = match self.status.borrow().is_ready() {
                true => FIRST_WAIT,
                false => (wait * 2).min(LONGEST_WAIT),
            };
            tell_error(&self.status, &self.news, error);
            self.rest(wait).await;
        }
    }

    /// Waits, and says of each block meanwhile that there is no way.
    async fn rest(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(block) = self.solutions.recv() => {
                    // Who handed it in may have given up.
                    let _ = block.sent.try_send(Err(SubmitError::NotOpen));
                }
            }
        }
    }

    /// Follows the provider until something goes wrong.
    async fn follow(&mut self) -> NodeError {
        let mut following = match self.connect().await {
            Ok(following) => following,
            Err(error) => return error,
        };
        loop {
            match self.step(&mut following).await {
                Ok(()) => {}
                Err(error) => {
                    self.asks_known |= following.pulse.awaits_refusal();
                    self.tell_lost();
                    return error;
                }
            }
        }
    }

    async fn connect(&self) -> Result<Following, NodeError> {
        let stream = self.provider.dial(&self.dialer).await;
        let stream = stream.map_err(|error| self.undialled(&error))?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(3);
        if let Err(error) = SockRef::from(stream.socket()).set_tcp_keepalive(&keepalive) {
            debug!("{}: no keep-alive: {error}", self.provider);
        }
        let endpoint = self.provider.endpoint();
        let settings = ClientSettings {
            endpoint_host: endpoint.host().to_owned(),
            endpoint_port: endpoint.port(),
            vendor: "headframe".to_owned(),
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
            constraints: COINBASE_CONSTRAINTS,
        };
        let session = ClientSession::new(Instant::now(), &settings);
        Ok(Following {
            session: session.map_err(|error| self.unusable(error))?,
            stream,
            pulse: Pulse::new(Instant::now(), self.patience, self.asks_known),
            present: None,
            wanted: None,
            ahead: None,
            future: None,
            assembling: None,
        })
    }

    /// Says what there is to say, and waits for the next thing to happen.
    async fn step(&mut self, following: &mut Following) -> Result<(), NodeError> {
        while let Some(event) = following.session.poll_event() {
            self.heed(following, event)?;
        }
        let Following {
            session, stream, ..
        } = following;
        while let Some(frame) = session.poll_transmit() {
            stream
                .queue_frame(&frame)
                .map_err(|error| self.broken(&error))?;
        }
        let due = following.due(self.patience);
        tokio::select! {
            filled = following.stream.fill() => {
                match filled.map_err(|error| self.broken(&error))? {
                    Filled::Bytes => {
                        self.note_sign(following);
                        self.take_frames(following)
                    }
                    Filled::Closed => Err(self.unusable("it closed the connection")),
                }
            }
            Some(block) = self.solutions.recv() => {
                self.hand_in(following, block);
                Ok(())
            }
            assembled = assembled(&mut following.assembling) => {
                following.assembling = None;
                self.take_assembled(following, assembled)
            }
            () = until(due) => self.handle_timeout(following),
        }
    }

    /// Sends a block, and keeps it until the provider names it.
    fn hand_in(&mut self, following: &mut Following, block: HandedIn) {
        let HandedIn {
            header,
            coinbase,
            sent,
        } = block;
        let submitted = following.session.submit(&header, &coinbase);
        if submitted.is_ok()
            && let Some(parent) = self.tips.height_of(header.prev_hash)
        {
            self.unnamed.keep(Solution {
                header,
                coinbase,
                height: parent.saturating_add(1),
            });
        }
        // Who handed it in may have given up.
        let _ = sent.try_send(submitted);
    }

    /// Says of which blocks nobody knows whether the provider has read them.
    fn tell_lost(&mut self) {
        for hash in self.unnamed.handle_end() {
            warn!(
                "block {hash} was sent to the template provider at {}, which is gone before it named it: it is sent again \
                 when its template is given again; every node takes it from the pool's folder blocks too",
                self.provider
            );
        }
    }

    /// Something came. In answer to a question it says that nothing else was to be told meanwhile.
    fn note_sign(&self, following: &mut Following) {
        let now = Instant::now();
        if following.pulse.handle_sign(now) {
            self.status
                .send_modify(|status| status.last_sign = Some(now));
        }
    }

    fn take_frames(&self, following: &mut Following) -> Result<(), NodeError> {
        let Following {
            session, stream, ..
        } = following;
        while let Some(bytes) = stream.next_frame().map_err(|error| self.broken(&error))? {
            if let Some((frame, _)) = Frame::split(bytes) {
                let handled = session.handle_frame(Instant::now(), frame);
                handled.map_err(|fault| self.unusable(fault))?;
            }
        }
        Ok(())
    }

    fn handle_timeout(&self, following: &mut Following) -> Result<(), NodeError> {
        let now = Instant::now();
        following.session.handle_timeout(now);
        if let Some(present) = following.quiet() {
            match following.pulse.handle_timeout(now, present) {
                Some(Due::Ask(template)) => following.session.request_transactions(template),
                Some(Due::Dead(silent)) => return Err(self.frozen(silent)),
                None => {}
            }
        }
        match &following.wanted {
            Some(wanted) if now >= wanted.asked + self.patience.transactions => {
                Err(self.unusable("it did not send the transactions of its template"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn heed(&mut self, following: &mut Following, event: ClientEvent) -> Result<(), NodeError> {
        match event {
            ClientEvent::Ready => {}
            ClientEvent::Future(template) => {
                following.future = Some(template.id);
                following.session.request_transactions(template.id);
            }
            ClientEvent::Template { template, tip, .. } => self.want(following, template, tip),
            ClientEvent::Transactions {
                template_id,
                transactions,
            } => self.take_transactions(following, template_id, transactions),
            ClientEvent::NoTransactions {
                template_id,
                code,
                is_stale,
            } => {
                following.future.take_if(|future| *future == template_id);
                let is_refused = |it: &&mut Wanted| it.template.id == template_id;
                if let Some(wanted) = following.wanted.as_mut().filter(is_refused) {
                    if !is_stale {
                        let reason =
                            format!("it does not give the transactions of its template: {code}");
                        return Err(self.unusable(reason));
                    }
                    wanted.is_stale = true;
                }
            }
            ClientEvent::Closed(reason) => return Err(self.unusable(reason)),
        }
        Ok(())
    }

    /// A template is to be mined: its transactions are asked for, if they were not asked for ahead.
    fn want(
        &mut self,
        following: &mut Following,
        template: Arc<OfferedTemplate>,
        tip: Arc<ProviderTip>,
    ) {
        let named = Tip {
            height: tip.height.saturating_sub(1),
            hash: tip.prev_hash,
        };
        self.announce(&template, &tip);
        self.tips.name(named);
        self.unnamed.handle_tip(named);
        self.status.send_if_modified(|status| {
            let before = status.tip.replace(named);
            before != status.tip
        });
        self.unnamed.send(|solution| {
            let sent = (following.session).submit(&solution.header, &solution.coinbase);
            if sent.is_ok() {
                info!("block {} is handed in again", solution.height);
            }
            sent.is_ok()
        });
        let id = template.id;
        following.present = Some(id);
        let before = following.wanted.as_ref().filter(|it| !it.is_stale);
        let asked = before.map_or_else(Instant::now, |before| before.asked);
        following.wanted = Some(Wanted {
            template,
            tip,
            asked,
            is_stale: false,
        });
        let was_asked = following.future.take_if(|future| *future == id);
        match following.ahead.take_if(|(ahead, _)| *ahead == id) {
            Some((_, transactions)) => self.take_transactions(following, id, transactions),
            None if was_asked.is_some() => {}
            None => following.session.request_transactions(id),
        }
    }

    /// Says a tip before its transactions are here, which takes a round to the provider.
    fn announce(&self, template: &OfferedTemplate, tip: &ProviderTip) {
        let new = match &*self.news.borrow() {
            Some(Ok(present)) => new_tip(&present.template, template, tip),
            Some(Err(_)) | None => None,
        };
        // Each template on it names it again.
        self.new_tips.send_if_modified(|told| {
            let is_news = new.is_some() && told.map(|it| it.tip) != new.map(|it| it.tip);
            if is_news {
                *told = new;
            }
            is_news
        });
    }

    fn take_transactions(
        &self,
        following: &mut Following,
        template_id: u64,
        transactions: Vec<Vec<u8>>,
    ) {
        let Some(wanted) = (following.wanted)
            .as_ref()
            .filter(|wanted| wanted.template.id == template_id)
        else {
            if let Some(wanted) = &mut following.wanted {
                wanted.asked = Instant::now();
            }
            if following.future == Some(template_id) {
                following.ahead = Some((template_id, transactions));
            }
            return;
        };
        let (network, wanted) = (self.network, wanted.clone());
        // A few megabytes are read and hashed, which takes a while, beside the tasks.
        following.assembling = Some(tokio::task::spawn_blocking(move || {
            assemble(Pieces {
                network,
                template: &wanted.template,
                tip: &wanted.tip,
                transactions,
                constraints: COINBASE_CONSTRAINTS,
                now: Instant::now(),
            })
        }));
        following.wanted = None;
    }

    fn take_assembled(
        &self,
        following: &Following,
        assembled: Result<Template, Flaw>,
    ) -> Result<(), NodeError> {
        let template = assembled.map_err(|flaw| self.unusable(flaw))?;
        let newer = following.wanted.as_ref();
        // One on an older tip would take miners back.
        if newer.is_none_or(|newer| newer.tip.prev_hash == template.prev_hash) {
            self.tell(template);
        }
        Ok(())
    }

    fn tell(&self, template: Template) {
        let received = Instant::now();
        let window = HeaderWindow::unbounded(&template);
        // Before the template, so that whoever has it finds the node well.
        self.status.send_modify(|status| {
            status.condition = Condition::Ready;
            status.last_template = Some(received);
        });
        self.news.send_modify(|news| {
            let is_same_tip = matches!(
                news,
                Some(Ok(before)) if before.template.prev_hash == template.prev_hash
            );
            *news = Some(Ok(TemplateUpdate {
                template: Arc::new(template),
                cause: match is_same_tip {
                    true => Cause::Refresh,
                    false => Cause::NewTip,
                },
                received,
                window,
            }));
        });
    }

    fn undialled(&self, error: &DialError) -> NodeError {
        let (address, reason) = (self.provider.to_string(), error.to_string());
        match error {
            DialError::Handshake { .. } => NodeError::Impostor { address, reason },
            DialError::Closed { .. }
            | DialError::Connect { .. }
            | DialError::Deadline { .. }
            | DialError::Certificate { .. }
            | DialError::Tls { .. }
            | DialError::Io { .. } => NodeError::Provider { address, reason },
        }
    }

    fn broken(&self, error: &TransportError) -> NodeError {
        self.unusable(error)
    }

    fn frozen(&self, silent: Duration) -> NodeError {
        NodeError::Frozen {
            address: self.provider.to_string(),
            silent,
        }
    }

    fn unusable(&self, reason: impl ToString) -> NodeError {
        NodeError::Provider {
            address: self.provider.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl Following {
    /// The template that is mined, while the provider owes nothing.
    fn quiet(&self) -> Option<u64> {
        self.present.filter(|_| self.wanted.is_none())
    }

    /// When somebody has to have said something.
    fn due(&self, patience: Patience) -> Option<Instant> {
        let transactions = self.wanted.as_ref();
        let transactions = transactions.map(|wanted| wanted.asked + patience.transactions);
        transactions
            .into_iter()
            .chain(self.session.poll_timeout())
            .chain(self.quiet().map(|_| self.pulse.poll_timeout()))
            .min()
    }
}

/// The template that is put together, when it is; never, while there is none.
async fn assembled(
    assembling: &mut Option<JoinHandle<Result<Template, Flaw>>>,
) -> Result<Template, Flaw> {
    match assembling {
        // It panics only where this program is wrong; what came last is not to be lost in silence.
        Some(handle) => handle.await.unwrap_or(Err(Flaw::Path)),
        None => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
