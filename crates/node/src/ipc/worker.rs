//! The thread that owns the connection, with a runtime for itself.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::IpcSettings;
use super::command::{Command, Commands, QUEUE, SolutionAnswer};
use super::follow::{Current, Follower};
use super::inquiry::Inquiry;
use super::news::Teller;
use super::sink::STAND_BY_LIMIT;
use crate::news::NewsSource;
use crate::{NodeError, NodeStatus, SubmitAnswer};

/// What the end of the node's waits may take when the pool stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a started thread is reached by.
pub(super) struct Started {
    pub(super) templates: NewsSource<Commands>,
    pub(super) commands: Commands,
    pub(super) inquiry: Arc<Inquiry>,
    pub(super) status: watch::Receiver<NodeStatus>,
}

/// Starts the thread. It ends when the last sender of commands is dropped.
pub(super) fn start(settings: IpcSettings) -> io::Result<Started> {
    let name = format!("Bitcoin Core at {}", settings.place());
    let teller = Teller::new(NodeStatus::starting(name, settings.network));
    let (commands, queue) = mpsc::channel(QUEUE);
    let started = Started {
        templates: teller.templates(commands.clone()),
        status: teller.health(),
        inquiry: Arc::new(Inquiry::new(commands.clone())),
        commands,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let serve = move || LocalSet::new().block_on(&runtime, serve(settings, teller, queue));
    thread::Builder::new().name("ipc".to_owned()).spawn(serve)?;
    Ok(started)
}

async fn serve(settings: IpcSettings, teller: Teller, mut queue: mpsc::Receiver<Command>) {
    let current: Current = Rc::default();
    let limit = settings.submit_limit;
    let follower = Follower::new(settings, teller, current.clone());
    let following = spawn_local(follower.run());
    while let Some(command) = queue.recv().await {
        spawn_local(answer(command, current.clone(), limit));
    }
    let live = current.send_replace(None);
    if let Some(live) = live {
        let _ = timeout(FAREWELL, live.interrupt()).await;
    }
    following.abort();
}

/// Answers one question. Who asked may have gone.
async fn answer(command: Command, current: Current, limit: Duration) {
    let live = current.borrow().clone();
    match command {
        Command::Solution(solution, reply) => {
            let _ = reply.try_send(match &live {
                Some(live) => live.session.submit_solution(&solution, limit).await,
                None => SolutionAnswer::Said(SubmitAnswer::Retry(absent().to_string())),
            });
        }
        Command::Block(block, reply) => {
            let _ = reply.try_send(match &live {
                Some(live) => live.submit_block(&block, limit).await,
                None => SubmitAnswer::Retry(absent().to_string()),
            });
        }
        Command::Judge(block, reply) => {
            let _ = reply.try_send(match &live {
                Some(live) => live.session.judge_stored(&block, limit).await,
                None => SubmitAnswer::Inconclusive,
            });
        }
        Command::Fate(hash, reply) => {
            let _ = reply.try_send(match &live {
                Some(live) => live.fate(hash).await,
                None => Err(absent()),
            });
        }
        Command::StandBy(reply) => {
            let _ = reply.try_send(stand_by(&current).await);
        }
        Command::Check(block, reply) => {
            let _ = reply.send(match &live {
                Some(live) => live.session.check(&block).await,
                None => Err(absent()),
            });
        }
        Command::Transactions(txids, reply) => {
            let _ = reply.send(match &live {
                Some(live) => live.transactions(&txids).await,
                None => Err(absent()),
            });
        }
    }
}

/// Whether the node answers. One that is being connected to has a moment for it.
async fn stand_by(current: &Current) -> Result<(), NodeError> {
    let mut live = current.subscribe();
    let live = timeout(STAND_BY_LIMIT, live.wait_for(Option::is_some)).await;
    match live.ok().and_then(Result::ok).as_deref() {
        Some(Some(live)) => live.stand_by(),
        Some(None) | None => Err(absent()),
    }
}

/// There is no connection now; why is told by the template source.
pub(super) fn absent() -> NodeError {
    NodeError::Unreachable {
        address: "its socket".to_owned(),
        reason: "there is none now".to_owned(),
    }
}
