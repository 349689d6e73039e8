//! Whose a window of measurement was. What other programs use of the cores in it is missing to ours, in
//! time and in caches, and the figures are not of ours alone.
//!
//! `/proc/stat` tells how long each core was busy. What it was busy with is
//!
//! - ours: the processes that descend from this one, which are the server, the load generator and what
//!   else runs beside. Each is pinned to a core, so its time is of that core.
//! - of the kernel's own threads: they work for whoever asks, and here that is mostly ours. Their time is
//!   foreign to nobody. Where they are not seen, as in a container, it counts as foreign.
//! - of interrupts, and of what the kernel does after them (softirq), which includes receiving what
//!   the other side sends on loopback. This is caused by our own traffic and must not count as foreign.
//!   Most kernels count it as time of the process that it came upon, or of ksoftirqd: then it
//!   is in those times already. Others measure it by itself and take it off from the time of the
//!   process: then it is taken off from what the core was busy with too, and ksoftirqd, whose time is
//!   within it, is left out.
//! - foreign: the rest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arena::{CLIENT_CORE, SERVER_CORE};
use super::cores::{Cores, tick_seconds};
use super::family::{Kind, Member, cpu_time, everybody, family};
use super::results::Machine;

/// Beyond this part of a core that other programs had, a window is disturbed.
pub(crate) const FOREIGN_MAX: f64 = 0.02;
/// How often one thing is measured at most, when it was disturbed.
const TRIES_MAX: u32 = 3;

/// How ours use the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each of our processes has a core that it keeps to: the foreign time of each core can be told.
    Apart,
    /// They go from core to core: it can be told of all together.
    Together,
}

/// Looks at windows, one after the other.
#[derive(Debug)]
pub(crate) struct Watch {
    cores: Vec<usize>,
    sharing: Sharing,
    /// Ours, and the threads of the kernel.
    known: Vec<Member>,
    before: Reading,
}

/// What was counted at one moment.
#[derive(Debug, Clone)]
struct Reading {
    at: Instant,
    cores: Cores,
    cpu_times: HashMap<i32, Duration>,
}

/// What one of our processes used in a window.
#[derive(Debug, Clone, Copy)]
struct Used {
    number: i32,
    parent: i32,
    /// Where it was last, if it did anything.
    core: Option<usize>,
    seconds: f64,
}

/// What was seen of a window.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The part of each core that other programs had; one figure where ours share their cores.
    pub(crate) foreign: Vec<f64>,
    /// How long the cores were busy, whoever with, all together.
    pub(crate) busy_seconds: f64,
    /// Part of the time of all cores that the host took away.
    pub(crate) steal: f64,
    used: Vec<Used>,
}

impl Watch {
    /// Looks who is there. A window begins with [`begin`](Self::begin).
    pub(crate) fn new(machine: &Machine, sharing: Sharing) -> Self {
        let before = Reading::of(&[]);
        let (cores, sharing) = if machine.pinned {
            (vec![SERVER_CORE, CLIENT_CORE], sharing)
        } else {
            let all = before.cores.each.keys().copied();
            (all.collect(), Sharing::Together)
        };
        Self {
            cores,
            sharing,
            known: ours_and_kernel(),
            before,
        }
    }

    /// A window begins.
    pub(crate) fn begin(&mut self) {
        self.before = Reading::of(&self.known);
    }

    /// The window is over.
    pub(crate) fn end(&mut self) -> Seen {
        let mut after = Reading::of(&self.known);
        // Who has come since is counted too, with all the time that it has used.
        self.known = ours_and_kernel();
        for member in &self.known {
            let number = member.process.pid;
            if let (false, Some(time)) = (after.cpu_times.contains_key(&number), cpu_time(number)) {
                after.cpu_times.insert(number, time);
            }
        }
        let used = self.used(&after);
        Seen {
            foreign: self.foreign(&after, &used),
            busy_seconds: self.busy_seconds(&after).iter().sum(),
            steal: self.before.steal_until(&after),
            used,
        }
    }

    /// What each of ours and of the kernel's threads used until `after`.
    fn used(&self, after: &Reading) -> Vec<Used> {
        let used = |member: &Member| {
            let number = member.process.pid;
            let before = self.before.cpu_times.get(&number).copied();
            let time = *after.cpu_times.get(&number)?;
            let time = time.saturating_sub(before.unwrap_or_default());
            // Who did nothing need not be asked where.
            let core = if time.is_zero() {
                None
            } else {
                member.process.stat().ok()?.processor
            };
            Some(Used {
                number,
                parent: member.parent,
                core: core.and_then(|core| usize::try_from(core).ok()),
                seconds: time.as_secs_f64(),
            })
        };
        let is_apart = self.before.cores.measures_interrupts();
        let known = self.known.iter();
        let known = known.filter(|member| member.kind != Kind::KernelInterrupts || !is_apart);
        known.filter_map(used).collect()
    }

    /// How long each core was busy, in seconds.
    fn busy_seconds(&self, after: &Reading) -> Vec<f64> {
        let window = (after.at - self.before.at).as_secs_f64();
        let of_core = |core: &usize| {
            let (before, after) = (
                self.before.cores.each.get(core)?,
                after.cores.each.get(core)?,
            );
            Some(after.since(before).busy_seconds(window))
        };
        let cores = self.cores.iter();
        cores.map(|core| of_core(core).unwrap_or(0.0)).collect()
    }

    /// What others had, as parts of a core.
    fn foreign(&self, after: &Reading, used: &[Used]) -> Vec<f64> {
        let window = (after.at - self.before.at).as_secs_f64();
        let busy = self.busy_seconds(after);
        let foreign_seconds = self.cores.iter().zip(busy).map(|(core, busy)| {
            let used = used.iter().filter(|used| used.core == Some(*core));
            let used: f64 = used.map(|used| used.seconds).sum();
            busy - used - self.interrupts_seconds(*core, after)
        });
        let foreign_seconds: Vec<f64> = match self.sharing {
            Sharing::Apart => foreign_seconds.collect(),
            Sharing::Together => vec![foreign_seconds.sum()],
        };
        // What is less than can be seen is nothing.
        let part = |seconds: f64| {
            if seconds > tick_seconds() {
                seconds / window
            } else {
                0.0
            }
        };
        foreign_seconds.into_iter().map(part).collect()
    }

    /// The time of interrupts that is in no process's.
    fn interrupts_seconds(&self, core: usize, after: &Reading) -> f64 {
        let of = |reading: &Reading| reading.cores.each.get(&core).copied().unwrap_or_default();
        if after.cores.measures_interrupts() {
            of(after).since(&of(&self.before)).interrupts as f64 * tick_seconds()
        } else {
            0.0
        }
    }
}

fn ours_and_kernel() -> Vec<Member> {
    let everybody = everybody();
    let parents = everybody
        .iter()
        .map(|member| (member.process.pid, member.parent));
    let parents: Vec<(i32, i32)> = parents.collect();
    let ours = family(std::process::id().cast_signed(), &parents);
    let is_meant =
        |member: &Member| member.kind != Kind::Program || ours.contains(&member.process.pid);
    everybody.into_iter().filter(is_meant).collect()
}

impl Reading {
    fn of(members: &[Member]) -> Self {
        let (at, cores) = (Instant::now(), Cores::read());
        let numbers = members.iter().map(|member| member.process.pid);
        let cpu_times = numbers.filter_map(|number| Some((number, cpu_time(number)?)));
        Self {
            at,
            cores,
            cpu_times: cpu_times.collect(),
        }
    }

    fn steal_until(&self, after: &Self) -> f64 {
        let ticks = after.cores.together.since(&self.cores.together);
        ticks.steal as f64 / ticks.all.max(1) as f64
    }
}

impl Seen {
    /// The CPU time that a process and all that descend from it used.
    pub(crate) fn cpu_seconds(&self, root: i32) -> f64 {
        let parents = self.used.iter().map(|used| (used.number, used.parent));
        let parents: Vec<(i32, i32)> = parents.collect();
        let family = family(root, &parents);
        let used = self.used.iter();
        let used = used.filter(|used| family.contains(&used.number));
        used.map(|used| used.seconds).sum()
    }

    /// How much the window was disturbed: 1 is what is borne.
    fn disturbance(&self, steal_max: f64) -> f64 {
        (most(&self.foreign) / FOREIGN_MAX).max(self.steal / steal_max)
    }

    /// What disturbed it most, in words.
    fn disturbed_by(&self, steal_max: f64) -> String {
        let per_cent = |part: f64| format!("{:.1} %", part * 100.0);
        if most(&self.foreign) / FOREIGN_MAX >= self.steal / steal_max {
            format!(
                "other programs had {} of a core",
                per_cent(most(&self.foreign))
            )
        } else {
            format!("the host took {} of the time", per_cent(self.steal))
        }
    }
}

/// The most that other programs had of any core.
pub(crate) fn most(foreign: &[f64]) -> f64 {
    foreign.iter().copied().fold(0.0, f64::max)
}

/// How often measurements may be repeated because they were disturbed.
#[derive(Debug)]
pub(crate) struct Repeats {
    /// How many are left, of all measurements together: on a machine that is never quiet a run still
    /// ends.
    pub(crate) left: u32,
    /// Beyond this part of the time that the host took away, a window is disturbed.
    pub(crate) steal_max: f64,
}

/// Measures until a window is quiet, as long as repeats are left; answers the quietest. The measurement
/// is told why it is repeated.
pub(crate) fn quietest<M>(
    repeats: &mut Repeats,
    stop: &AtomicBool,
    seen: impl Fn(&M) -> &Seen,
    mut measure: impl FnMut(Option<&str>) -> anyhow::Result<M>,
) -> anyhow::Result<M> {
    let steal_max = repeats.steal_max;
    let disturbance = |measured: &M| seen(measured).disturbance(steal_max);
    let mut quietest = measure(None)?;
    for _ in 1..TRIES_MAX {
        let is_quiet = disturbance(&quietest) <= 1.0;
        if is_quiet || repeats.left == 0 || stop.load(Ordering::Relaxed) {
            break;
        }
        repeats.left -= 1;
        let why = seen(&quietest).disturbed_by(steal_max);
        let again = measure(Some(&why));
        // What the end of the run has cut short is no better than what is there.
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let again = again?;
        if disturbance(&again) < disturbance(&quietest) {
            quietest = again;
        }
    }
    Ok(quietest)
}

#[cfg(test)]
mod tests;
