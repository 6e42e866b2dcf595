//! Clients as values: honest ones, on the client side of `headframe-mining`, and others that do all
//! that a pool has to bear.

mod crowd;
mod device;
mod farm;
mod lines;

use std::time::{Duration, Instant};

use headframe_mining::client::{MiningWork, Solution, Sv2Settings};
use headframe_sv2_wire::Frame;
use headframe_work::{Hashrate, Target, UnixTime, Work};

use self::crowd::Crowd;
use self::device::Device;
use self::farm::Farm;
use self::lines::Lines;
use super::Scenario;
use super::users::Users;
use super::witness::Violation;
use crate::Chance;

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// A Stratum V1 device.
    Sv1,
    /// A device with a standard channel.
    Standard,
    /// One with an extended channel.
    Extended,
    /// One that names its worker in each share (extension 0x0002).
    Named,
    /// A proxy with some standard channels.
    Crowd,
    /// Whoever opens, updates and closes channels of both kinds and several owners, and sends shares
    /// of every sort.
    Farm,
    /// The same in Stratum V1.
    Lines,
}

/// Which of the pool's listeners a client connects to, by what it demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Usual,
    FixedVersion,
    ExtendedOnly,
    NamesRequired,
}

impl Listener {
    /// One that serves what `profile` is. Some of them refuse much of what a farm wants.
    fn choose(profile: Profile, chance: &mut Chance) -> Self {
        let all = [
            Self::Usual,
            Self::FixedVersion,
            Self::ExtendedOnly,
            Self::NamesRequired,
        ];
        let fitting = match profile {
            Profile::Standard | Profile::Crowd => 2,
            Profile::Extended => 3,
            Profile::Named | Profile::Farm | Profile::Sv1 | Profile::Lines => 4,
        };
        // Half of all are at the usual one.
        match chance.happens(0.5) {
            true => Self::Usual,
            false => all[chance.below(fitting) as usize],
        }
    }
}

/// What a client plans to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    /// Find a share on a channel, unless its work has changed since.
    Find(u32, u64),
    Act,
}

/// What a client makes plans with.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) chance: Chance,
    /// Hashes per second of each channel.
    pub(super) rate: f64,
    pub(super) plans: Vec<(Duration, Plan)>,
    /// Whether a header's time may become too late while a job is worked on.
    is_bounded_in_time: bool,
    /// Shares that the pool said were good.
    pub(super) acknowledged: u64,
}

/// One client, connected or not.
#[derive(Debug)]
pub(super) struct Client {
    profile: Profile,
    listener: Listener,
    user: String,
    pub(super) means: Means,
    pub(super) connection: Option<u64>,
    /// The number of times that it has connected.
    pub(super) life: u64,
    pub(super) timer: Option<Instant>,
    inbox: Vec<u8>,
    speaker: Option<Speaker>,
    /// What it was on its last connection, of Stratum V1.
    before: Option<Box<Lines>>,
}

#[derive(Debug)]
enum Speaker {
    Device(Box<Device>),
    Crowd(Box<Crowd>),
    Farm(Box<Farm>),
    Lines(Box<Lines>),
}

impl Client {
    pub(super) fn new(mut chance: Chance, scenario: &Scenario, users: &Users) -> Self {
        let profile = match chance.below(100) {
            0..25 => Profile::Sv1,
            25..45 => Profile::Standard,
            45..60 => Profile::Extended,
            60..70 => Profile::Named,
            70..80 => Profile::Crowd,
            80..92 => Profile::Farm,
            _ => Profile::Lines,
        };
        let rate = scenario.hashrate * (0.5 + chance.fraction());
        Self {
            profile,
            listener: Listener::choose(profile, &mut chance),
            user: users.choose(&mut chance),
            means: Means {
                chance,
                rate,
                plans: Vec::new(),
                is_bounded_in_time: scenario.is_testnet4(),
                acknowledged: 0,
            },
            connection: None,
            life: 0,
            timer: None,
            inbox: Vec::new(),
            speaker: None,
            before: None,
        }
    }

    /// The number of the listener that it connects to.
    pub(super) fn listener(&self) -> usize {
        self.listener as usize
    }

    pub(super) fn is_sv2(&self) -> bool {
        !matches!(self.profile, Profile::Sv1 | Profile::Lines)
    }

    /// It has a connection, and begins.
    pub(super) fn connect(&mut self, now: Instant, connection: u64, users: &Users) {
        let before = self.before.take().map(|before| *before);
        let Self { user, means, .. } = self;
        self.speaker = Some(match self.profile {
            Profile::Sv1 => Speaker::Device(Device::sv1(now, user, means).into()),
            Profile::Standard | Profile::Extended | Profile::Named => {
                let settings = settings(self.profile, self.listener, user, means.rate);
                Speaker::Device(Device::sv2(now, settings, means).into())
            }
            Profile::Crowd => {
                Speaker::Crowd(Crowd::new(now, self.listener, user, users, means).into())
            }
            Profile::Farm => Speaker::Farm(Farm::new(user, means).into()),
            Profile::Lines => Speaker::Lines(Lines::new(user, before, means).into()),
        });
        self.connection = Some(connection);
        self.life += 1;
        self.timer = None;
        self.inbox.clear();
    }

    /// Its connection is gone.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        if let Some(Speaker::Lines(lines)) = self.speaker.take() {
            self.before = Some(lines);
        }
        self.timer = None;
    }

    /// Bytes have arrived.
    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Violation> {
        self.inbox.extend_from_slice(bytes);
        while let Some(message) = self.next_message() {
            let means = &mut self.means;
            match &mut self.speaker {
                Some(Speaker::Device(device)) => device.take(now, &message, means)?,
                Some(Speaker::Crowd(crowd)) => crowd.take(now, &message, means)?,
                Some(Speaker::Farm(farm)) => farm.take(now, &message, means)?,
                Some(Speaker::Lines(lines)) => lines.take(now, &message, means),
                None => {}
            }
        }
        Ok(())
    }

    /// It finds a share.
    pub(super) fn find(&mut self, now: Instant, channel: u32, epoch: u64) -> Result<(), Violation> {
        let means = &mut self.means;
        match &mut self.speaker {
            Some(Speaker::Device(device)) => device.find(now, epoch, means),
            Some(Speaker::Crowd(crowd)) => {
                crowd.find(now, channel, epoch, means);
                Ok(())
            }
            Some(Speaker::Farm(farm)) => {
                farm.find(now, means);
                Ok(())
            }
            Some(Speaker::Lines(lines)) => {
                lines.find(means);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It does something of its own.
    pub(super) fn act(&mut self, users: &Users) {
        let means = &mut self.means;
        match &mut self.speaker {
            Some(Speaker::Farm(farm)) => farm.act(users, means),
            Some(Speaker::Lines(lines)) => lines.act(users, means),
            Some(Speaker::Device(_) | Speaker::Crowd(_)) | None => {}
        }
    }

    /// Its timer; false when it gives up on the connection.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, Violation> {
        match &mut self.speaker {
            Some(Speaker::Device(device)) => device.handle_timeout(now),
            Some(Speaker::Crowd(crowd)) => crowd.handle_timeout(now),
            Some(Speaker::Farm(_) | Speaker::Lines(_)) | None => Ok(true),
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        match &self.speaker {
            Some(Speaker::Device(device)) => device.next_timer(),
            Some(Speaker::Crowd(crowd)) => crowd.next_timer(),
            Some(Speaker::Farm(_) | Speaker::Lines(_)) | None => None,
        }
    }

    /// Says goodbye, if it has a word for it.
    pub(super) fn close(&mut self) {
        if let Some(Speaker::Device(device)) = &mut self.speaker {
            device.close();
        }
    }

    /// What it sends.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        match &mut self.speaker {
            Some(Speaker::Device(device)) => device.take_output(),
            Some(Speaker::Crowd(crowd)) => crowd.take_output(),
            Some(Speaker::Farm(farm)) => farm.take_output(),
            Some(Speaker::Lines(lines)) => lines.take_output(),
            None => Vec::new(),
        }
    }

    fn next_message(&mut self) -> Option<Vec<u8>> {
        let len = match self.is_sv2() {
            true => self.inbox.len() - Frame::split(&self.inbox)?.1.len(),
            false => self.inbox.iter().position(|byte| *byte == b'\n')? + 1,
        };
        Some(self.inbox.drain(..len).collect())
    }
}

impl Means {
    /// Plans the next share on a channel where hashes must meet `target`.
    pub(super) fn plan_find(&mut self, target: Target, channel: u32, epoch: u64) {
        let hashes = Work::of_target(target).expected_hashes().max(1.0);
        let wait = self.chance.wait(hashes / self.rate);
        self.plans.push((wait, Plan::Find(channel, epoch)));
    }

    /// Hashes until `work`'s target is met.
    fn solve(&mut self, now: Instant, work: &MiningWork) -> Solution {
        let chance = &mut self.chance;
        let rolled: [u8; 32] = chance.bytes();
        let rolled = &rolled[..work.root.rolled_len()];
        let (earliest, latest) = (work.ntime.earliest(), work.ntime.latest(now));
        let span = latest.as_secs() - earliest.as_secs();
        let time = earliest.as_secs() + chance.below(u64::from(span) + 1) as u32;
        let bits = chance.number() as u32 & work.version_mask;
        let mut solution = Solution {
            job: work.job,
            version: work.version & !work.version_mask | bits,
            ntime: UnixTime::from_secs(time),
            nonce: chance.number() as u32,
            extranonce: headframe_mining::client::Extranonce::new(rolled)
                .expect("at most 32 bytes"),
        };
        let mut header = work.header(&solution);
        while !work.target.is_met_by(&header.hash()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        solution.nonce = header.nonce;
        solution
    }
}

/// What a client of `profile` asks a pool for.
fn settings(profile: Profile, listener: Listener, user: &str, rate: f64) -> Sv2Settings {
    use headframe_mining::client::ChannelKind;
    let is_standard = matches!(profile, Profile::Standard | Profile::Crowd);
    Sv2Settings {
        channel: match is_standard {
            true => ChannelKind::Standard,
            false => ChannelKind::Extended,
        },
        user_identity: user.to_owned(),
        nominal_hashrate: Hashrate::from_hashes_per_second(rate).unwrap_or(Hashrate::ZERO),
        max_target: Target::MAX,
        min_extranonce_size: 4,
        roll_version: listener != Listener::FixedVersion,
        worker_name: (profile == Profile::Named).then(|| "machine".to_owned()),
        endpoint_host: "pool".to_owned(),
        endpoint_port: 3333,
        vendor: "simulated".to_owned(),
        hardware_version: "1".to_owned(),
        firmware: String::new(),
    }
}
