//! What needs the operator.

use super::*;
use crate::limits::{Offence, Source, Warning};
use crate::news::WarningNews;

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
fn bans_are_told_until_they_end() {
    let mut stage = Stage::running();
    let ban = |address: &str, since: u64, until: u64| {
        News::Banned(Ban {
            address: address.parse().unwrap(),
            since: wall(since),
            until: wall(until),
            reason: "it flooded the pool with messages".into(),
            times: 1,
        })
    };
    stage.tell(10, ban("203.0.113.7", 10, 610));
    stage.tell(20, ban("2001:db8::", 20, 1_220));
    stage.tell(20, ban("203.0.113.7", 20, 620));
    let both = stage.alarm(30, "address_banned").unwrap();
    assert_eq!(both.title, "2 addresses are banned");
    let one = stage.alarm(620, "address_banned").unwrap();
    assert_eq!(one.title, "An address is banned");
    assert_eq!(
        one.detail,
        "2001:db8::/64: it flooded the pool with messages. The ban ends by itself in 10 minutes."
    );
    assert_eq!(
        (one.severity, one.since_at),
        (Severity::Notice, u64::from(DAWN) + 20)
    );
    assert_eq!(stage.alarm(1_220, "address_banned"), None);
    for number in 0..5_000_u32 {
        let address = std::net::Ipv4Addr::from(number).to_string();
        stage.tell(1_300, ban(&address, 1_300, 9_000));
    }
    let many = stage.alarm(1_300, "address_banned").unwrap();
    assert_eq!(many.title, "1000 addresses are banned");
}

/// Until it is forgiven, or banned.
#[test]
fn an_address_that_is_close_to_a_ban_is_shown_with_its_miner() {
    let mut stage = Stage::running();
    let warned = |address: &str, miners: &str, at: u64| {
        News::Warned(Box::new(WarningNews {
            warning: Warning {
                source: Source::of(address.parse().unwrap()),
                offence: Offence::ImpossibleShares,
                lasts: Duration::from_secs(1_200),
            },
            miners: miners.to_owned(),
            at: wall(at),
        }))
    };
    stage.tell(10, warned("2001:db8::7", "", 10));
    stage.tell(20, warned("203.0.113.7", "alice.rig1", 20));
    let both = stage.alarm(30, "address_warned").unwrap();
    assert_eq!(both.title, "2 addresses are close to a ban");
    assert_eq!(
        both.detail,
        "203.0.113.7 (alice.rig1): it sent many shares with impossible versions or times. If that \
         goes on, it is banned for 20 minutes."
    );
    stage.tell(
        40,
        News::Banned(Ban {
            address: "203.0.113.7".parse().unwrap(),
            since: wall(40),
            until: wall(1_240),
            reason: "it flooded the pool with messages".into(),
            times: 1,
        }),
    );
    stage.tell(50, warned("203.0.113.7", "alice.rig1", 20));
    let one = stage.alarm(50, "address_warned").unwrap();
    assert_eq!(one.title, "An address is close to a ban");
    assert!(one.detail.starts_with("2001:db8::/64: "), "{}", one.detail);
    assert_eq!(one.severity, Severity::Notice);
    stage.tell(500, warned("2001:db8::8", "", 500));
    let again = stage.alarm(1_099, "address_warned").unwrap();
    assert_eq!(again.since_at, u64::from(DAWN) + 10);
    assert_eq!(stage.alarm(1_100, "address_warned"), None);
    for number in 0..5_000_u32 {
        let address = std::net::Ipv4Addr::from(number).to_string();
        stage.tell(1_300, warned(&address, "", 1_300));
    }
    let many = stage.alarm(1_300, "address_warned").unwrap();
    assert_eq!(many.title, "1000 addresses are close to a ban");
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
    let early = |not_durable| {
        let tally = ShareTally {
            accepted: 600,
            not_durable,
            ..ShareTally::default()
        };
        News::Shares {
            key: key(1),
            tally: Box::new(tally),
        }
    };
    stage.tell(1, early(9));
    assert_eq!(stage.alarm(1, "shares_not_durable"), None);
    stage.tell(2, early(4));
    let alarm = stage.alarm(2, "shares_not_durable").unwrap();
    let detail = "13 of the 1200 shares of the last ten minutes were acknowledged before";
    assert!(alarm.detail.starts_with(detail), "{}", alarm.detail);
    assert_eq!(alarm.since_at, u64::from(DAWN) + 2);
    stage.tell(2, ledger(0, Some("the disk is full")));
    let summary = stage.look(2).summary;
    let codes: Vec<_> = summary
        .alarms
        .iter()
        .map(|alarm| alarm.code.as_str())
        .collect();
    assert_eq!(codes, ["ledger_trouble"]);
    assert_eq!(summary.ledger.trouble.as_deref(), Some("The disk is full."));
    assert_eq!(summary.ledger.shares_acknowledged_early, 13);
    stage.tell(3, ledger(0, None));
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

#[test]
fn shares_that_wait_for_the_ledger_are_counted() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv1));
    stage.tell(1, shares(1, 1, 5, 800.0));
    let waiting = |stage: &mut Stage| stage.look(1).summary.ledger.shares_not_yet_durable;
    stage.tell(1, ledger(3, None));
    assert_eq!(waiting(&mut stage), 2);
    // The ledger hears of shares before the board does.
    stage.tell(1, ledger(7, None));
    assert_eq!(waiting(&mut stage), 0);
}

#[test]
fn trouble_of_the_ledger_that_changes_began_when_it_began() {
    let mut stage = Stage::running();
    stage.tell(1, ledger(0, Some("the disk is full")));
    assert_eq!(
        stage.tell(5, ledger(0, Some("the file is locked"))),
        Urgency::Urgent
    );
    let alarm = stage.alarm(6, "ledger_trouble").unwrap();
    assert_eq!(alarm.since_at, u64::from(DAWN) + 1);
    assert!(alarm.detail.starts_with("The file is locked."));
    assert_eq!(
        stage.tell(7, ledger(9, Some("the file is locked"))),
        Urgency::Routine
    );
}

#[test]
fn a_certificate_for_tls_is_an_alarm_when_it_ends_and_when_another_cannot_be_used() {
    let mut stage = Stage::running();
    let tls = |fingerprint: &[u8], ends: u64, trouble: Option<&str>| {
        News::Tls(TlsNews {
            path: "chain.pem".into(),
            fingerprint: Fingerprint::of(fingerprint),
            ends: wall(ends),
            warn_from: wall(ends - 14 * DAY),
            is_own: false,
            trouble: trouble.map(|trouble| (trouble.to_owned(), wall(DAY))),
        })
    };
    stage.tell(0, tls(b"one", 20 * DAY, None));
    let (ends, refused) = ("tls_certificate_ends", "tls_certificate_refused");
    assert_eq!(stage.alarm(6 * DAY, ends), None);
    let soon = stage.alarm(6 * DAY + 1, ends).unwrap();
    assert_eq!(soon.severity, Severity::Warning);
    assert_eq!(soon.title, "The certificate for TLS ends in 14 days");
    assert!(soon.detail.contains("chain.pem holds until 2024-01-21"));
    let over = stage.alarm(20 * DAY + 1, ends).unwrap();
    assert_eq!(over.severity, Severity::Critical);
    assert_eq!(stage.alarm(7 * DAY, refused), None);
    stage.tell(7 * DAY, tls(b"one", 20 * DAY, Some("chain.pem is torn")));
    let bad = stage.alarm(7 * DAY, refused).unwrap();
    assert!(
        bad.detail.starts_with("chain.pem is torn."),
        "{}",
        bad.detail
    );
    assert_eq!(bad.since_at, u64::from(DAWN) + DAY);
    stage.tell(8 * DAY, tls(b"two", 80 * DAY, None));
    assert_eq!(stage.alarm(8 * DAY, refused), None);
    assert_eq!(stage.alarm(21 * DAY, ends), None);
}

#[test]
fn a_listener_shows_the_certificate_that_is_in_use() {
    let mut stage = Stage::running();
    let shown = |stage: &mut Stage| {
        let connect = stage.look(1).summary.connect;
        connect.listeners[0].tls_fingerprint.clone().unwrap()
    };
    for bytes in [b"one", b"two", b"six"] {
        stage.tell(
            0,
            News::Tls(TlsNews {
                path: "chain.pem".into(),
                fingerprint: Fingerprint::of(bytes),
                ends: wall(90 * DAY),
                warn_from: wall(70 * DAY),
                is_own: false,
                trouble: None,
            }),
        );
        assert_eq!(shown(&mut stage), Fingerprint::of(bytes).to_string());
    }
}

#[test]
fn a_certificate_that_nobody_here_can_renew_is_told_in_good_time_and_when_it_is_over() {
    let mut stage = Stage::running();
    let certificate = |name: &str, ends: u64, is_renewed_here| {
        News::Certificate(CertificateNews {
            path: name.into(),
            ends: wall(ends),
            renew_from: wall(ends - 10 * DAY),
            is_renewed_here,
        })
    };
    stage.tell(0, certificate("keys", 12 * DAY, true));
    stage.tell(0, certificate("keys-two", 20 * DAY, false));
    stage.tell(0, certificate("keys-three", 90 * DAY, false));
    let code = "certificate_ends";
    assert_eq!(stage.alarm(10 * DAY, code), None);
    let soon = stage.alarm(11 * DAY + 1, code).unwrap();
    assert_eq!(soon.severity, Severity::Warning);
    assert_eq!(soon.title, "The certificate ends in 9 days");
    assert!(
        soon.detail
            .contains("keys-two holds until 2024-01-21 00:00 UTC")
    );
    assert!(soon.next_step.contains("headframe keys request"));
    assert_eq!(soon.since_at, u64::from(DAWN) + 10 * DAY);
    let over = stage.alarm(20 * DAY + 1, code).unwrap();
    assert_eq!(over.severity, Severity::Critical);
    assert_eq!(over.title, "The certificate has ended");
    stage.tell(21 * DAY, certificate("keys-two", 60 * DAY, false));
    assert_eq!(stage.alarm(21 * DAY, code), None);
}
