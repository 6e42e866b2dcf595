//! What needs the operator.

use super::*;

#[test]
fn refused_names_are_few_and_are_forgotten() {
    let mut stage = Stage::running();
    for number in 0..100u8 {
        stage.tell(
            number.into(),
            News::NameRefused {
                user: format!("bc1qnonsense{number}"),
                reason: "it does not decode".into(),
                peer: SocketAddr::from(([10, 0, 0, number], 1)),
                at: wall(number.into()),
            },
        );
    }
    let alarm = stage.alarm(100, "name_refused").unwrap();
    assert_eq!(alarm.title, "5 user names were refused");
    assert_eq!(
        alarm.detail,
        "\"bc1qnonsense99\" from 10.0.0.99: It does not decode."
    );
    assert!(alarm.next_step.contains(ADDRESS));
    assert_eq!(stage.alarm(99 + 600, "name_refused"), None);
}

#[test]
fn a_template_that_cannot_be_used_is_critical_until_one_can() {
    let mut stage = Stage::running();
    let no_job = |at| News::NoJob {
        reason: "the coinbase is too large".into(),
        at: wall(at),
    };
    stage.tell(10, no_job(10));
    stage.tell(5_000, no_job(5_000));
    let alarm = stage.alarm(9_000, "no_job").unwrap();
    assert_eq!(
        (alarm.severity, alarm.since_at),
        (Severity::Critical, u64::from(DAWN) + 10)
    );
    stage.tell(9_001, work(9_001, 5.0));
    assert_eq!(stage.alarm(9_001, "no_job"), None);
}

#[test]
fn a_ledger_in_trouble_and_a_slow_disk_are_told_apart() {
    let mut stage = Stage::running();
    let tally = ShareTally {
        not_durable: 3,
        ..ShareTally::default()
    };
    stage.tell(1, News::Shares { key: key(1), tally });
    let alarm = stage.alarm(1, "shares_not_durable").unwrap();
    assert!(alarm.detail.starts_with("3 shares were acknowledged"));
    stage.tell(2, News::LedgerTrouble(Some("the disk is full".into())));
    let summary = stage.look(2).summary;
    let codes: Vec<_> = summary
        .alarms
        .iter()
        .map(|alarm| alarm.code.as_str())
        .collect();
    assert_eq!(codes, ["ledger_trouble"]);
    assert_eq!(summary.ledger.trouble.as_deref(), Some("The disk is full."));
    assert_eq!(summary.ledger.shares_acknowledged_early, 3);
    stage.tell(3, News::LedgerTrouble(None));
    assert_eq!(stage.look(700).summary.alarms, []);
}

#[test]
fn the_worst_of_those_with_rejected_shares_is_named_with_its_cause() {
    let mut stage = Stage::running();
    for (number, user) in [(1, "good"), (2, "late"), (3, "broken")] {
        stage.tell(0, joined(0, number, user, Protocol::Sv1));
    }
    let (stale, below) = (Rejection::Stale, Rejection::LowDifficulty);
    stage.tell(1, rejects(1, 190, &[(stale, 10)]));
    stage.tell(1, rejects(2, 180, &[(stale, 20)]));
    stage.tell(1, rejects(3, 100, &[(stale, 40), (below, 60)]));
    let alarm = stage.alarm(2, "high_reject_rate").unwrap();
    assert_eq!(alarm.title, "Many shares of 2 miners are rejected");
    assert!(
        alarm
            .detail
            .starts_with("broken: 50.0 % of the last shares, mostly below")
    );
    let shares = stage.look(2).summary.shares;
    assert_eq!(shares.rejected, 130);
    let expected = [(RejectReason::Stale, 70), (RejectReason::LowDifficulty, 60)];
    assert_eq!(shares.rejected_by_reason, BTreeMap::from(expected));
}
