//! Whose a window of measurement was. What other programs use of the cores in it is missing to ours, in
//! time and in caches, and the figures are not of ours alone.
//!
//! `/proc/stat` tells how long each core was busy. What it was busy with is
//!
//! - ours: the processes that descend from this one, which are the server, the load generator and what
//!   else runs beside. Each is pinned to a core, so its time is of that core.
//! - of the kernel's own threads: they work for whoever asks, and here that is mostly ours. Their time is
//!   not foreign. Where they are not seen, as in a container, it counts as foreign.
//! - of interrupts, and of what the kernel does after them (softirq), which includes receiving what
//!   the other side sends on loopback. This is caused by our own traffic and must not count as foreign.
//!   Most kernels count it as time of the process that it came upon, or of ksoftirqd: then it
//!   is in those times already. Others measure it by itself and take it off from the time of the
//!   process: then it is taken off from what the core was busy with too, and ksoftirqd, whose time is
//!   within it, is left out.
//! - of nobody: an interrupt that wakes an idle core up comes upon no process. The core of a load
//!   generator that slept for a third of its time, and was woken for most of the responses, was seen to
//!   spend a tenth of it so.
//! - foreign: the rest.
//!
//! What is of nobody can be told from what is foreign where all processes are seen: then no more is
//! foreign than what the other processes used. In a container both count as foreign. Other processes go
//! from core to core, so the time of each counts for every core on which one of its threads was last, and
//! never for more than the core was busy. What a process used that has ended meanwhile stands in the
//! account of its parent, who has waited for it. Where no parent did, it is missing there, and the window
//! is judged as in a container.

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
    /// Who was there when it was last looked.
    known: Vec<Known>,
    before: Reading,
}

/// A process, and whether it is one of ours.
#[derive(Debug)]
struct Known {
    member: Member,
    is_ours: bool,
}

/// What was counted at one moment.
#[derive(Debug, Clone)]
struct Reading {
    at: Instant,
    cores: Cores,
    cpu_times: HashMap<i32, Duration>,
}

/// What a process used in a window.
#[derive(Debug, Clone)]
struct Used {
    number: i32,
    parent: i32,
    /// Where its threads were last, if it did anything.
    cores: Vec<usize>,
    seconds: f64,
}

/// What all processes used in a window.
#[derive(Debug, Clone, Default)]
struct Shares {
    /// Ours.
    ours: Vec<Used>,
    /// The threads of the kernel whose time is in no other figure.
    kernel: Vec<Used>,
    /// All others, if all can be seen.
    others: Option<Vec<Used>>,
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
    /// How long the window was.
    seconds: f64,
    ours: Vec<Used>,
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
            known: look(),
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
        let now = look();
        // Who has come since is counted too, with all the time that it has used.
        for known in &now {
            let number = known.member.process.pid;
            if let (false, Some(time)) = (after.cpu_times.contains_key(&number), cpu_time(number)) {
                after.cpu_times.insert(number, time);
            }
        }
        let shares = self.shares(&now, &after);
        self.known = now;
        let cores = self.cores.iter();
        let busy = cores.map(|core| self.busy_seconds(*core, &after));
        Seen {
            foreign: self.foreign(&after, &shares),
            busy_seconds: busy.sum(),
            steal: self.before.steal_until(&after),
            seconds: (after.at - self.before.at).as_secs_f64(),
            ours: shares.ours,
        }
    }

    /// Who used what until `after`.
    fn shares(&self, now: &[Known], after: &Reading) -> Shares {
        let mut shares = Shares::default();
        let mut others = Vec::new();
        for known in now {
            let Some(used) = self.used(&known.member, after) else {
                continue;
            };
            match known.member.kind {
                Kind::Program if known.is_ours => shares.ours.push(used),
                Kind::Program => others.push(used),
                Kind::Kernel => shares.kernel.push(used),
                // Its time is that of interrupts, where those are measured.
                Kind::KernelInterrupts if after.cores.measures_interrupts() => {}
                Kind::KernelInterrupts => shares.kernel.push(used),
            }
        }
        // Those of other containers are seen where the threads of the kernel are.
        let sees_all = now.iter().any(|known| known.member.kind != Kind::Program);
        let ended = ended_seconds(&self.accounts(&self.known), &self.accounts(now));
        shares.others = ended.filter(|_| sees_all).map(|seconds| {
            // Where they were is not known.
            let cores = self.cores.clone();
            others.push(Used {
                number: 0,
                parent: 0,
                cores,
                seconds,
            });
            others
        });
        shares
    }

    /// What the other programs have on their accounts.
    fn accounts(&self, known: &[Known]) -> HashMap<i32, Account> {
        let others = known.iter().filter(|known| !known.is_ours);
        let others = others.filter(|known| known.member.kind == Kind::Program);
        let account = |known: &Known| {
            let number = known.member.process.pid;
            let at_the_beginning = self.before.cpu_times.get(&number).copied();
            let account = Account {
                at_the_beginning: at_the_beginning.unwrap_or_default(),
                of_children: known.member.of_children,
            };
            (number, account)
        };
        others.map(account).collect()
    }

    /// What one process used until `after`; `None` if it is gone.
    fn used(&self, member: &Member, after: &Reading) -> Option<Used> {
        let number = member.process.pid;
        let before = self.before.cpu_times.get(&number).copied();
        let time = *after.cpu_times.get(&number)?;
        let time = time.saturating_sub(before.unwrap_or_default());
        // Who did nothing need not be asked where.
        let cores = if time.is_zero() {
            Vec::new()
        } else {
            member.cores()
        };
        Some(Used {
            number,
            parent: member.parent,
            cores,
            seconds: time.as_secs_f64(),
        })
    }

    /// How long a core was busy, in seconds.
    fn busy_seconds(&self, core: usize, after: &Reading) -> f64 {
        let window = (after.at - self.before.at).as_secs_f64();
        let of = |reading: &Reading| reading.cores.each.get(&core).copied();
        let ticks = of(after).zip(of(&self.before));
        ticks.map_or(0.0, |(after, before)| {
            after.since(&before).busy_seconds(window)
        })
    }

    /// What others had, as parts of a core.
    fn foreign(&self, after: &Reading, shares: &Shares) -> Vec<f64> {
        let window = (after.at - self.before.at).as_secs_f64();
        // Which cores each figure is of.
        let groups: Vec<&[usize]> = match self.sharing {
            Sharing::Apart => self.cores.chunks(1).collect(),
            Sharing::Together => vec![&self.cores],
        };
        let part = |cores: &[usize]| {
            let of_core = |core: &usize| {
                self.busy_seconds(*core, after) - self.interrupts_seconds(*core, after)
            };
            let busy: f64 = cores.iter().map(of_core).sum();
            let rest = busy - seconds_on(cores, shares.ours.iter().chain(&shares.kernel));
            let others = shares.others.as_ref();
            let seconds = others.map_or(rest, |others| rest.min(seconds_on(cores, others)));
            // What is less than can be seen is nothing.
            if seconds > tick_seconds() {
                seconds / window
            } else {
                0.0
            }
        };
        groups.into_iter().map(part).collect()
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

/// Who is there.
fn look() -> Vec<Known> {
    let everybody = everybody();
    let parents = everybody.iter();
    let parents = parents.map(|member| (member.process.pid, member.parent));
    let own = std::process::id().cast_signed();
    let family = family(own, &parents.collect::<Vec<_>>());
    let known = |member: Member| Known {
        is_ours: family.contains(&member.process.pid),
        member,
    };
    everybody.into_iter().map(known).collect()
}

/// The CPU time of a process up to the beginning of a window, and that of the children that it has
/// waited for.
#[derive(Debug, Clone, Copy)]
struct Account {
    at_the_beginning: Duration,
    of_children: Duration,
}

/// What those used in a window who ended in it, by the accounts of their parents: what came to those,
/// less what the ended had used before. `None` if less came than that, so that somebody's account was
/// closed without a parent.
fn ended_seconds(before: &HashMap<i32, Account>, now: &HashMap<i32, Account>) -> Option<f64> {
    let of_children = |accounts: &HashMap<i32, Account>, number: &i32| {
        let account = accounts.get(number);
        account.map_or(0.0, |account| account.of_children.as_secs_f64())
    };
    let came = now.keys();
    let came: f64 = came
        .map(|number| of_children(now, number) - of_children(before, number))
        .sum();
    let ended = before
        .iter()
        .filter(|(number, _)| !now.contains_key(*number));
    let ended: Vec<f64> = ended
        .map(|(_, account)| (account.at_the_beginning + account.of_children).as_secs_f64())
        .collect();
    let used = came - ended.iter().sum::<f64>();
    // Children are told in ticks, rounded down.
    let rounded = (ended.len() + 1) as f64 * tick_seconds();
    (used > -rounded).then_some(used.max(0.0))
}

/// What processes used that were on any of these cores last.
fn seconds_on<'u>(cores: &[usize], used: impl IntoIterator<Item = &'u Used>) -> f64 {
    let was_there = |used: &&Used| used.cores.iter().any(|core| cores.contains(core));
    let used = used.into_iter().filter(was_there);
    used.map(|used| used.seconds).sum()
}

impl Reading {
    fn of(known: &[Known]) -> Self {
        let (at, cores) = (Instant::now(), Cores::read());
        let numbers = known.iter().map(|known| known.member.process.pid);
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
        let parents = self.ours.iter().map(|used| (used.number, used.parent));
        let parents: Vec<(i32, i32)> = parents.collect();
        let family = family(root, &parents);
        let used = self.ours.iter();
        let used = used.filter(|used| family.contains(&used.number));
        used.map(|used| used.seconds).sum()
    }

    /// The same beside a program of ours that has measured for so long. Where the two differ, somebody
    /// kept one of them from its work, and the figures of the two are not of the same time: what they
    /// differ by counts as foreign.
    pub(crate) fn beside(mut self, measured_seconds: f64) -> Self {
        let seconds = (self.seconds - measured_seconds).abs();
        if seconds > tick_seconds() {
            let part = seconds / self.seconds.max(measured_seconds);
            for foreign in &mut self.foreign {
                *foreign = foreign.max(part);
            }
        }
        self
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
                "other programs used {} of a core",
                per_cent(most(&self.foreign))
            )
        } else {
            format!("the hypervisor took {} of the time", per_cent(self.steal))
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
