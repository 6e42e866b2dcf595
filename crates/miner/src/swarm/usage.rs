//! What a process uses, as Linux tells it under `/proc`. Elsewhere nothing is known.

use core::time::Duration;
use std::fs;

use super::report::Cost;

/// Ticks a second of the times in `/proc/PID/stat`, on every Linux that we run on.
const TICKS: f64 = 100.0;

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time of all its threads, to a hundredth of a second.
    pub(super) cpu: Duration,
    /// Bytes of memory that it holds at this moment.
    pub(super) resident: u64,
}

impl Usage {
    /// Of the process `pid`, or of this one.
    pub(super) fn of(pid: Option<u32>) -> Option<Self> {
        let name = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{name}/status")).ok()?;
        Some(Self {
            cpu: cpu(&stat)?,
            resident: resident(&status)?,
        })
    }
}

/// The readings of one process: before the first connection, before the first share, after the last.
#[derive(Debug)]
pub(super) struct Meter {
    pid: Option<u32>,
    readings: Vec<Usage>,
    peak: u64,
}

impl Meter {
    /// For the process `pid`, or for this one.
    pub(super) const fn new(pid: Option<u32>) -> Self {
        Self {
            pid,
            readings: Vec::new(),
            peak: 0,
        }
    }

    /// Takes the next of the three readings.
    pub(super) fn read(&mut self) {
        let usage = self.look();
        self.readings.extend(usage);
    }

    /// Looks at the memory in between.
    pub(super) fn look(&mut self) -> Option<Usage> {
        let usage = Usage::of(self.pid)?;
        self.peak = self.peak.max(usage.resident);
        Some(usage)
    }

    /// What the process used, `shares` being those that were answered between the last two readings;
    /// `None` unless all three were to be had.
    pub(super) fn cost(&self, shares: u64) -> Option<Cost> {
        let [before, connected, after] = self.readings[..] else {
            return None;
        };
        let cpu = after.cpu.saturating_sub(connected.cpu).as_secs_f64();
        Some(Cost {
            connecting_cpu_seconds: connected.cpu.saturating_sub(before.cpu).as_secs_f64(),
            cpu_seconds: cpu,
            cpu_us_per_share: (shares > 0).then(|| cpu * 1e6 / shares as f64),
            memory_before_bytes: before.resident,
            memory_connected_bytes: connected.resident,
            memory_after_bytes: after.resident,
            memory_peak_bytes: self.peak,
        })
    }
}

/// Fields 14 and 15, user and system time. The second field is the program's name, in parentheses,
/// which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Duration::try_from_secs_f64(ticks as f64 / TICKS).ok()
}

/// The line `VmRSS:  1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_moves_no_field() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 123 77 0 0 20 0 3 0 5 6 7";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\ta\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\n";
        assert_eq!(resident(status), Some(524_288));
        assert_eq!(resident("Name:\ta\n"), None);
    }

    #[test]
    fn the_cost_is_what_lies_between_the_readings() {
        let reading = |cpu, resident| Usage {
            cpu: Duration::from_secs(cpu),
            resident,
        };
        let meter = Meter {
            pid: None,
            readings: vec![reading(3, 10), reading(5, 70), reading(6, 60)],
            peak: 80,
        };
        let cost = meter.cost(200_000).unwrap();
        assert_eq!((cost.connecting_cpu_seconds, cost.cpu_seconds), (2.0, 1.0));
        assert_eq!(cost.cpu_us_per_share, Some(5.0));
        assert_eq!(meter.cost(0).unwrap().cpu_us_per_share, None);
        // A process that has gone half-way gives no cost.
        let gone = Meter {
            readings: meter.readings[..2].to_vec(),
            ..meter
        };
        assert_eq!(gone.cost(1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known_by_both_of_its_names_and_a_missing_one_is_not() {
        let own = Usage::of(None).unwrap();
        let by_number = Usage::of(Some(std::process::id())).unwrap();
        assert!(own.resident > 0);
        assert!(by_number.cpu >= own.cpu);
        assert_eq!(Usage::of(Some(u32::MAX)), None);
    }
}
