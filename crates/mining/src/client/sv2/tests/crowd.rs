//! Many channels on one connection.

use super::*;
use crate::client::{CrowdEvent, Sv2Crowd};

use headframe_sv2_wire::codes;
use headframe_sv2_wire::mining::{OpenMiningChannelError, UpdateChannelError};

struct Crowd {
    crowd: Sv2Crowd,
    now: Instant,
}

const USERS: [&str; 3] = ["ann", "bob", "eve"];

/// The channel id that the pool gives to the request `number`: not in order.
fn id(number: u32) -> u32 {
    100 - number
}

fn on(number: usize, event: ClientEvent) -> CrowdEvent {
    CrowdEvent::Channel(number, event)
}

impl Crowd {
    /// Three channels were asked for.
    fn new(kind: ChannelKind) -> Self {
        let now = Instant::now();
        let users = USERS.map(str::to_owned);
        let mut it = Self {
            crowd: Sv2Crowd::new(now, &settings(kind), &users).unwrap(),
            now,
        };
        assert_eq!(it.sent().len(), 1);
        let (used_version, flags) = (2, 0);
        it.receive(&SetupConnectionSuccess {
            used_version,
            flags,
        });
        it
    }

    /// Three channels are open, in one group.
    fn open(kind: ChannelKind) -> Self {
        let mut it = Self::new(kind);
        assert_eq!(it.sent().len(), 3);
        (0..3).for_each(|number| it.open_success(kind, number));
        let ready = [0, 1, 2].map(|number| on(number, ClientEvent::Ready));
        assert_eq!(it.events(), ready);
        it
    }

    fn open_success(&mut self, kind: ChannelKind, request_id: u32) {
        let prefix = [0xe1, 0xe2, 0xe3, request_id as u8];
        let opened = Opened {
            request_id,
            channel_id: id(request_id),
            target: target(0),
        };
        let success = opened.success(kind, &prefix);
        self.receive_bytes(&success).unwrap();
    }

    fn receive<'a>(&mut self, message: &impl Message<'a>) {
        self.receive_bytes(&framed(message)).unwrap();
    }

    fn receive_bytes(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let (frame, _) = Frame::split(bytes).unwrap();
        self.crowd.handle_frame(self.now, frame)
    }

    fn events(&mut self) -> Vec<CrowdEvent> {
        core::iter::from_fn(|| self.crowd.poll_event()).collect()
    }

    fn works(&mut self) -> Vec<(usize, Arc<MiningWork>)> {
        let works = self.events().into_iter().map(|event| match event {
            CrowdEvent::Channel(number, ClientEvent::Work(work)) => (number, work),
            other => panic!("work expected: {other:?}"),
        });
        works.collect()
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.crowd.poll_transmit()).collect()
    }
}

#[test]
fn each_user_gets_a_channel_whatever_the_order_of_answers() {
    let mut it = Crowd::new(ChannelKind::Standard);
    let asked = it.sent();
    for (frame, (request, user)) in asked.iter().zip((0..).zip(USERS)) {
        let MiningMessage::OpenStandardMiningChannel(open) = decode(frame) else {
            panic!()
        };
        assert_eq!(open.request_id, request);
        assert_eq!(open.user_identity.as_bytes(), user.as_bytes());
    }
    it.open_success(ChannelKind::Standard, 2);
    let error_code = Code::new("unknown-user").unwrap();
    it.receive(&OpenMiningChannelError {
        request_id: 0,
        error_code,
    });
    it.open_success(ChannelKind::Standard, 1);
    // Twice, and to nothing that was asked for.
    it.open_success(ChannelKind::Standard, 1);
    it.open_success(ChannelKind::Standard, 3);
    let reason = "unknown-user".to_owned();
    assert_eq!(
        it.events(),
        [
            on(2, ClientEvent::Ready),
            on(0, ClientEvent::Closed(CloseReason::UserRefused { reason })),
            on(1, ClientEvent::Ready),
        ]
    );
}

#[test]
fn a_job_to_the_group_is_each_member_s_own() {
    let mut it = Crowd::open(ChannelKind::Extended);
    let job = ExtendedJob {
        channel: GROUP,
        ..ExtendedJob::FUTURE
    };
    it.receive_bytes(&job.frame()).unwrap();
    it.receive(&new_prev_hash(GROUP, 5, NBITS));
    let works = it.works();
    assert_eq!(works.len(), 3);
    for (number, work) in works {
        let share = share(&work);
        assert!(it.crowd.submit_unjudged(it.now, number, &share));
        let sent = it.sent();
        let MiningMessage::SubmitSharesExtended(sent) = decode(&sent[0]) else {
            panic!()
        };
        assert_eq!(sent.channel_id, id(number as u32));
        let header = extended_header(&sent, [0xe1, 0xe2, 0xe3, number as u8]);
        assert!(meets(&header, work.target));
    }
}

/// MP-125: one target for a group is each member's, and one for a channel is that channel's.
#[test]
fn a_target_for_the_group_is_each_member_s_and_another_one_s_own() {
    let mut it = Crowd::open(ChannelKind::Extended);
    it.receive(&SetTarget {
        channel_id: GROUP,
        maximum_target: target(3),
    });
    let told = ClientEvent::Target(rung(3).target());
    let all = [0, 1, 2].map(|number| on(number, told.clone()));
    assert_eq!(it.events(), all);
    it.receive(&SetTarget {
        channel_id: id(1),
        maximum_target: target(4),
    });
    it.receive(&UpdateChannelError {
        channel_id: id(2),
        error_code: codes::INVALID_CHANNEL_ID,
    });
    let refused = "the pool refuses an update: invalid-channel-id".to_owned();
    let own = [
        on(1, ClientEvent::Target(rung(4).target())),
        on(2, ClientEvent::Notice(refused)),
    ];
    assert_eq!(it.events(), own);
    let job = ExtendedJob {
        channel: GROUP,
        ..ExtendedJob::FUTURE
    };
    it.receive_bytes(&job.frame()).unwrap();
    it.receive(&new_prev_hash(GROUP, 5, NBITS));
    let targets: Vec<_> = it.works().iter().map(|(_, work)| work.target).collect();
    assert_eq!(targets, [3, 4, 3].map(|exponent| rung(exponent).target()));
}

#[test]
fn answers_reach_their_channel_with_the_times_of_their_shares() {
    let mut it = Crowd::open(ChannelKind::Standard);
    for number in [0, 1] {
        it.receive(&standard_job(id(number), 5, None));
        it.receive(&new_prev_hash(id(number), 5, NBITS));
    }
    let works = it.works();
    let start = it.now;
    // Three shares each, a second apart, and none of them is any good.
    for _ in 0..3 {
        for (number, work) in &works {
            let wrong = solve(work, |hash| !work.target.is_met_by(hash));
            assert!(it.crowd.submit_unjudged(it.now, *number, &wrong));
        }
        it.now += Duration::from_secs(1);
    }
    assert_eq!(it.sent().len(), 6);
    it.receive(&SubmitSharesError {
        channel_id: id(1),
        sequence_number: 1,
        error_code: codes::DIFFICULTY_TOO_LOW,
    });
    it.receive(&SubmitSharesSuccess {
        channel_id: id(1),
        last_sequence_number: 2,
        new_submits_accepted_count: 2,
        new_shares_sum: 2,
    });
    let at = |second| start + Duration::from_secs(second);
    let code = "difficulty-too-low".to_owned();
    let sent = vec![at(0), at(2)];
    assert_eq!(
        it.events(),
        [
            on(1, ClientEvent::ShareRejected { code, sent: at(1) }),
            on(1, ClientEvent::ShareAccepted { sent }),
        ]
    );
}

#[test]
fn nothing_is_sent_where_there_is_no_work_for_it() {
    let mut it = Crowd::open(ChannelKind::Standard);
    it.receive(&standard_job(id(0), 5, None));
    it.receive(&new_prev_hash(id(0), 5, NBITS));
    let (_, work) = it.works().remove(0);
    let share = share(&work);
    assert!(it.crowd.submit_unjudged(it.now, 0, &share));
    assert!(!it.crowd.submit_unjudged(it.now, 1, &share));
    assert!(!it.crowd.submit_unjudged(it.now, 3, &share));
    // The next tip.
    it.receive(&standard_job(id(0), 6, None));
    it.receive(&new_prev_hash(id(0), 6, NBITS));
    assert!(!it.crowd.submit_unjudged(it.now, 0, &share));
}

#[test]
fn a_group_that_is_closed_closes_its_members_and_one_channel_only_itself() {
    let close = |channel_id| CloseChannel {
        channel_id,
        reason_code: Code::new("bye").unwrap(),
    };
    let closed = |number| {
        let reason = "bye".to_owned();
        on(
            number,
            ClientEvent::Closed(CloseReason::ChannelClosed { reason }),
        )
    };
    let mut it = Crowd::open(ChannelKind::Extended);
    it.receive(&close(id(1)));
    assert_eq!(it.events(), [closed(1)]);
    it.receive(&close(GROUP));
    assert_eq!(it.events(), [closed(0), closed(2)]);
}

#[test]
fn a_pool_that_owes_an_answer_is_left_and_so_is_a_silent_one() {
    let mut it = Crowd::new(ChannelKind::Standard);
    it.open_success(ChannelKind::Standard, 0);
    it.open_success(ChannelKind::Standard, 1);
    it.events();
    let deadline = it.crowd.poll_timeout().unwrap();
    it.crowd.handle_timeout(deadline);
    let waiting_for = "an answer to the opening of a channel";
    let owed = CrowdEvent::Closed(CloseReason::TimedOut { waiting_for });
    assert_eq!(it.events(), [owed]);
    assert_eq!(it.crowd.poll_timeout(), None);

    let mut it = Crowd::open(ChannelKind::Standard);
    it.now += Duration::from_secs(10);
    it.receive(&standard_job(id(0), 5, None));
    let deadline = it.crowd.poll_timeout().unwrap();
    assert_eq!(deadline, it.now + crate::client::SILENCE_DEADLINE);
    it.crowd.handle_timeout(deadline);
    let waiting_for = "anything for three minutes";
    let silent = CrowdEvent::Closed(CloseReason::TimedOut { waiting_for });
    assert_eq!(it.events(), [silent]);
}

#[test]
fn a_channel_of_another_kind_breaks_the_protocol() {
    let mut it = Crowd::new(ChannelKind::Extended);
    let success = framed(&OpenStandardMiningChannelSuccess {
        request_id: 0,
        channel_id: id(0),
        target: target(0),
        extranonce_prefix: Bytes32::new(&[1]).unwrap(),
        group_channel_id: GROUP,
    });
    assert_eq!(it.receive_bytes(&success), Err(SessionError::ChannelKind));
}
