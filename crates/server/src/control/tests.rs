//! Who is meant, and what is answered otherwise.

use headframe_api::{Encryption, HashrateWindows, Miner, Protocol, ShareCounts};
use tokio::net::UnixStream;

use super::*;

const ALICE: &str = "bcrt1qalice.rig";

fn miner(worker: &str, state: MinerState) -> Miner {
    Miner {
        id: 1,
        worker: worker.to_owned(),
        payout_address: None,
        device: String::new(),
        peer: String::new(),
        protocol: Protocol::Sv2,
        channel: None,
        encryption: Encryption::None,
        state,
        connected_at: 0,
        hashes_per_second: HashrateWindows::default(),
        difficulty: 1.0,
        shares: ShareCounts::default(),
        best_difficulty: 0.0,
        last_share_at: None,
        silence: None,
        coinbase_too_long: None,
    }
}

fn pool(workers: &[&str]) -> Vec<Miner> {
    let here = workers
        .iter()
        .map(|worker| miner(worker, MinerState::Mining));
    let gone = [miner("gone", MinerState::Gone)];
    here.chain(gone).collect()
}

#[test]
fn a_worker_is_meant_by_its_name_or_by_the_end_of_it() {
    let all = pool(&[ALICE, "bcrt1qbob.shed", "plain"]);
    let found = |wanted: &str| find(&all, wanted, TRACE_WAITS);
    assert_eq!(found(ALICE), Ok(ALICE.to_owned()));
    assert_eq!(found("rig"), Ok(ALICE.to_owned()));
    assert_eq!(found("plain"), Ok("plain".to_owned()));
    assert_eq!(
        found("gone").unwrap_err(),
        "gone is not connected; these are: bcrt1qalice.rig, bcrt1qbob.shed, plain. With --wait a \
         trace waits for a worker"
    );
}

#[test]
fn who_is_not_there_is_told_who_is() {
    let two = pool(&[ALICE, "bcrt1qbob.rig"]);
    let error = find(&two, "rig", "").unwrap_err();
    assert!(error.contains("bcrt1qalice.rig, bcrt1qbob.rig"), "{error}");
    let nobody = find(&pool(&[]), "rig", "").unwrap_err();
    assert!(nobody.ends_with("nobody else is"), "{nobody}");
    let many: Vec<String> = (10..50).map(|number| format!("w{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = find(&pool(&many), "rig", "").unwrap_err();
    assert!(
        error.contains("w19 and 30 more") && !error.contains("w20"),
        "{error}"
    );
}

/// A control socket on a pool of nobody.
struct Served {
    directory: tempfile::TempDir,
    shutdown: CancellationToken,
    tracer: Arc<Tracer>,
    bells: Arc<Bells>,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    /// Before it is served, somebody leaves a file in its place.
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stale = std::os::unix::net::UnixListener::bind(directory.path().join(CONTROL_SOCKET));
        drop(stale.unwrap());
        let (miners, mut calls) = mpsc::channel::<RollCall>(1);
        let (shutdown, tracer) = (CancellationToken::new(), Arc::default());
        let bells = Arc::<Bells>::default();
        let control = Control {
            tracer: Arc::clone(&tracer),
            miners,
            network: Network::Regtest,
            bells: Arc::clone(&bells),
            shutdown: shutdown.clone(),
        };
        let serving = tokio::spawn(control.serve(directory.path()));
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                let _ = call.send(pool(&[ALICE]).into());
            }
        });
        Self {
            directory,
            shutdown,
            tracer,
            bells,
            serving,
        }
    }

    async fn ask(&self, question: &str) -> UnixStream {
        let path = self.directory.path().join(CONTROL_SOCKET);
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        stream
    }

    async fn answer(&self, question: &str) -> String {
        let mut text = String::new();
        let mut stream = self.ask(question).await;
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

const QUESTION: &str = "{\"trace\":{\"worker\":\"rig\",\"seconds\":3600}}\n";

#[tokio::test]
async fn what_is_not_served_is_refused_in_words() {
    let served = Served::start().await;
    for (question, words) in [
        ("hello\n", "not understood"),
        ("{\"stop\":{}}\n", "unknown variant `stop`"),
        (
            "{\"trace\":{\"worker\":\"rig\",\"seconds\":1,\"more\":2}}\n",
            "unknown field",
        ),
        (
            "{\"trace\":{\"worker\":\"rig\",\"seconds\":0}}\n",
            "1 to 3600 seconds",
        ),
        (
            "{\"trace\":{\"worker\":\"rig\",\"seconds\":3601}}\n",
            "1 to 3600 seconds",
        ),
        (
            "{\"trace\":{\"worker\":\"bob\",\"seconds\":1}}\n",
            "bob is not connected",
        ),
        (
            "{\"close\":{\"worker\":\"bob\"}}\n",
            "bob is not connected; these are: bcrt1qalice.rig",
        ),
        (
            "{\"close\":{\"worker\":\"rig\"}}\n",
            "bcrt1qalice.rig was not found on any connection that answered; look whether it is still there",
        ),
    ] {
        let answer = served.answer(question).await;
        let refusal: ControlRefusal = serde_json::from_str(&answer).unwrap();
        assert!(refusal.refused.contains(words), "{answer}");
    }
    // A question without an end is one that is not understood, however long it is.
    let endless = "x".repeat(2 * MAX_QUESTION as usize);
    let mut stream = served.ask(&endless).await;
    let mut text = String::new();
    // The rest of the question, which nobody reads, may break the connection.
    let _ = stream.read_to_string(&mut text).await;
    assert!(text.is_empty() || text.contains("not understood"), "{text}");
}

#[tokio::test]
async fn a_trace_ends_with_the_asker_and_with_the_pool() {
    let served = Served::start().await;
    let mode = fs::metadata(served.directory.path().join(CONTROL_SOCKET)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let mut askers = Vec::new();
    for _ in 0..MAX_TRACES {
        let mut asker = BufReader::new(served.ask(QUESTION).await);
        let mut line = String::new();
        asker.read_line(&mut line).await.unwrap();
        assert_eq!(line, Transcript::FIRST_LINE);
        askers.push(asker);
    }
    let refused = served.answer(QUESTION).await;
    assert!(refused.contains("4 traces run already"), "{refused}");
    // Who goes makes room.
    askers.pop();
    let again = loop {
        let mut asker = BufReader::new(served.ask(QUESTION).await);
        let mut line = String::new();
        asker.read_line(&mut line).await.unwrap();
        if line == Transcript::FIRST_LINE {
            break asker;
        }
    };
    askers.push(again);
    served.shutdown.cancel();
    for mut asker in askers {
        let mut text = String::new();
        asker.read_to_string(&mut text).await.unwrap();
        assert!(
            text.ends_with("# the pool has stopped: 0 messages\n"),
            "{text}"
        );
    }
    served.serving.await.unwrap();
    assert!(!served.directory.path().join(CONTROL_SOCKET).exists());
    assert!(served.tracer.trace("a").is_some(), "nothing runs any more");
}

#[tokio::test(start_paused = true)]
async fn a_trace_ends_when_its_time_is_over() {
    let served = Served::start().await;
    let answer = served
        .answer("{\"trace\":{\"worker\":\"rig\",\"seconds\":2}}\n")
        .await;
    assert!(answer.starts_with(Transcript::FIRST_LINE), "{answer}");
    assert!(
        answer.ends_with("# the time is over: 0 messages\n"),
        "{answer}"
    );
}

#[test]
fn what_became_of_a_worker_is_said_in_one_sentence() {
    let outcome = |channels, connections, kept, others| Outcome {
        channels,
        connections,
        kept,
        others,
    };
    for (outcome, words) in [
        (outcome(1, 0, 0, 0), Ok("1 channel of rig closed")),
        (outcome(0, 2, 0, 0), Ok("2 connections of rig closed")),
        (
            outcome(3, 1, 0, 0),
            Ok("3 channels and 1 connection of rig closed"),
        ),
        (
            outcome(0, 1, 1, 7),
            Ok(
                "1 connection of rig closed; it still shares 1 connection with 7 other workers, and its client \
                 is not known to bear that one worker alone is closed",
            ),
        ),
        (
            outcome(0, 0, 1, 1),
            Err(
                "rig shares 1 connection with 1 other worker, and its client is not known to bear that one \
                 worker alone is closed; end it at the device",
            ),
        ),
        (
            outcome(0, 0, 0, 0),
            Err(
                "rig was not found on any connection that answered; look whether it is still there",
            ),
        ),
    ] {
        let words = words.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(told("rig", outcome), words);
    }
}

/// Whoever has not looked is waited for, and one that ends has looked; the answer says what all of them did.
#[tokio::test]
async fn all_connections_look_before_the_answer() {
    let served = Served::start().await;
    let hung: Vec<_> = (0..200).map(|id| served.bells.hang(id)).collect();
    let answer = served.answer("{\"close\":{\"worker\":\"rig\"}}\n");
    let looking = async {
        for (number, bell) in hung.into_iter().enumerate() {
            let closings = loop {
                match bell.take_closings() {
                    none if none.is_empty() => tokio::task::yield_now().await,
                    closings => break closings,
                }
            };
            assert_eq!(closings[0].user(), ALICE);
            match number {
                3 => closings[0].note_channels(2),
                150 => closings[0].note_connection(),
                _ => {}
            }
        }
    };
    let (answer, ()) = tokio::join!(answer, looking);
    let done: ControlDone = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        done.done,
        "2 channels and 1 connection of bcrt1qalice.rig closed"
    );
}
