//! What the cores of the machine did since its start, from `/proc/stat`
//! ([proc_stat(5)](https://man7.org/linux/man-pages/man5/proc_stat.5.html)).
//!
//! The kernel looks at each tick what a core does, and counts the tick for that. Over a window of less
//! than a second this is as good as throwing dice, where a core is busy for a part of it. Only how long
//! a core was idle is measured, so that is what is used here: a core that was neither idle nor taken by
//! the host was busy.

use std::collections::BTreeMap;

/// Times in ticks of [`tick_seconds`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// Nothing to do, or nothing but to wait for a disk.
    pub(crate) idle: u64,
    /// What the host took away.
    pub(crate) steal: u64,
    /// Interrupts of devices, and what the kernel does after them (softirq).
    pub(crate) interrupts: u64,
    /// Those of devices alone.
    of_devices: u64,
    pub(crate) all: u64,
}

/// The times of all cores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cores {
    pub(crate) together: Ticks,
    pub(crate) each: BTreeMap<usize, Ticks>,
}

/// Of which part of the time interrupts of devices have at least, where they are measured.
const OF_DEVICES_MIN: f64 = 1e-4;

impl Cores {
    pub(crate) fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// Reads the lines `cpu`, `cpu0` and so on.
    pub(crate) fn parse(stat: &str) -> Self {
        let mut cores = Self::default();
        for line in stat.lines() {
            let mut words = line.split_whitespace();
            let Some(core) = words.next().and_then(|word| word.strip_prefix("cpu")) else {
                continue;
            };
            let times: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            // user nice system idle iowait irq softirq steal; guests are in user.
            let at = |index: usize| times.get(index).copied().unwrap_or(0);
            let ticks = Ticks {
                idle: at(3) + at(4),
                steal: at(7),
                interrupts: at(5) + at(6),
                of_devices: at(5),
                all: times.iter().take(8).sum(),
            };
            match core.parse() {
                Ok(number) => drop(cores.each.insert(number, ticks)),
                Err(_) => cores.together = ticks,
            }
        }
        cores
    }

    /// Whether the kernel measures the time of interrupts, and takes it off from that of the process
    /// that was interrupted (`CONFIG_IRQ_TIME_ACCOUNTING`). If it does not, a tick never finds an
    /// interrupt of a device under way, since ticks wait for those to end.
    pub(crate) fn measures_interrupts(&self) -> bool {
        self.together.of_devices as f64 > self.together.all as f64 * OF_DEVICES_MIN
    }
}

impl Ticks {
    /// What was counted since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(before.idle),
            steal: self.steal.saturating_sub(before.steal),
            interrupts: self.interrupts.saturating_sub(before.interrupts),
            of_devices: self.of_devices.saturating_sub(before.of_devices),
            all: self.all.saturating_sub(before.all),
        }
    }

    /// How much of a window a core was busy, in seconds.
    pub(crate) fn busy_seconds(&self, window_seconds: f64) -> f64 {
        let not_busy = (self.idle + self.steal) as f64 * tick_seconds();
        (window_seconds - not_busy).clamp(0.0, window_seconds)
    }
}

/// The unit of `/proc/stat`, in seconds: what is shorter cannot be seen there.
pub(crate) fn tick_seconds() -> f64 {
    1.0 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  100 10 50 800 20 0 15 5 7 0
cpu0 60 10 30 380 10 0 8 2 7 0
cpu3 40 0 20 420 10 0 7 3 0 0
intr 1234 0 1
ctxt 99
";

    #[test]
    fn each_core_has_its_own_times_by_its_number() {
        let cores = Cores::parse(STAT);
        assert_eq!(cores.each.keys().copied().collect::<Vec<_>>(), [0, 3]);
        let last = cores.each[&3];
        assert_eq!((last.idle, last.steal, last.interrupts), (430, 3, 7));
        assert_eq!(last.all, 500);
        assert_eq!(cores.together.all, 1000);
    }

    #[test]
    fn interrupts_are_measured_where_those_of_devices_have_time() {
        assert!(!Cores::parse(STAT).measures_interrupts());
        let measured = STAT.replace("cpu  100 10 50 800 20 0", "cpu  100 10 50 800 20 3");
        assert!(Cores::parse(&measured).measures_interrupts());
        assert!(!Cores::parse("").measures_interrupts());
    }

    #[test]
    fn a_core_is_busy_when_it_is_neither_idle_nor_taken_away() {
        let second = 1.0 / tick_seconds();
        let ticks = |idle: f64, steal: f64| Ticks {
            idle: (idle * second) as u64,
            steal: (steal * second) as u64,
            ..Ticks::default()
        };
        assert!((ticks(0.5, 0.1).busy_seconds(1.0) - 0.4).abs() < 0.03);
        assert_eq!(ticks(0.0, 0.0).busy_seconds(2.0), 2.0);
        // A tick more than the window has, by rounding.
        assert_eq!(ticks(2.0, 0.0).busy_seconds(1.99), 0.0);
    }

    #[test]
    fn this_machine_has_cores() {
        let cores = Cores::read();
        assert!(!cores.each.is_empty());
        assert!(cores.together.all > 0);
    }
}
