//! Processes, who started them, and the CPU time that they have used.

use std::collections::HashSet;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use procfs::process::{Process, Stat, StatFlags, all_processes};

use super::cores::tick_seconds;

/// A process that was there.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) parent: i32,
    pub(crate) kind: Kind,
    /// The CPU time of its children that have ended and that it has waited for, with theirs. It is
    /// told in ticks.
    pub(crate) of_children: Duration,
}

/// Whose a process is, where its parents do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Program,
    /// A thread of the kernel.
    Kernel,
    /// One that does what was left over of an interrupt.
    KernelInterrupts,
}

/// All that are there, in the order of their numbers.
pub(crate) fn everybody() -> Vec<Member> {
    let member = |process: Process| {
        let stat = process.stat().ok()?;
        Some(Member {
            parent: stat.ppid,
            kind: Kind::of(&stat),
            of_children: of_children(&stat),
            process,
        })
    };
    let all = all_processes().into_iter().flatten().flatten();
    all.filter_map(member).collect()
}

fn of_children(stat: &Stat) -> Duration {
    let ticks = stat.cutime.saturating_add(stat.cstime).max(0);
    Duration::from_secs_f64(ticks as f64 * tick_seconds())
}

impl Member {
    /// The cores on which its threads were last.
    pub(crate) fn cores(&self) -> Vec<usize> {
        let threads = self.process.tasks().into_iter().flatten().flatten();
        let core = threads.filter_map(|thread| thread.stat().ok()?.processor);
        let mut cores: Vec<usize> = core.filter_map(|core| usize::try_from(core).ok()).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }
}

impl Kind {
    fn of(stat: &Stat) -> Self {
        let flags = StatFlags::from_bits_truncate(stat.flags);
        match stat.comm.as_str() {
            _ if !flags.contains(StatFlags::PF_KTHREAD) => Self::Program,
            name if name.starts_with("ksoftirqd/") => Self::KernelInterrupts,
            _ => Self::Kernel,
        }
    }
}

/// A process and all that descend from it, by their numbers and those of their parents.
pub(crate) fn family(root: i32, parents: &[(i32, i32)]) -> HashSet<i32> {
    let mut family = HashSet::from([root]);
    // A child has a later number than its parent, but for the rare wrap: look until none is new.
    loop {
        let before = family.len();
        for (number, parent) in parents {
            if family.contains(parent) {
                family.insert(*number);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// The CPU time that a process has used, to the nanosecond: that of threads that have ended too, and of
/// a process that has ended as long as its parent has not waited for it. `None` for one that is gone.
pub(crate) fn cpu_time(number: i32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(number)).ok()?;
    clock.now().ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_family_has_children_of_children_whatever_their_numbers() {
        let parents = [(7, 20), (20, 5), (5, 1), (6, 1), (30, 7)];
        assert_eq!(family(5, &parents), HashSet::from([5, 20, 7, 30]));
        assert_eq!(family(99, &parents), HashSet::from([99]));
    }

    #[test]
    fn a_process_that_has_ended_has_its_time_until_it_is_waited_for() {
        let mut child = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done"])
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        let number = child.id().cast_signed();
        assert!(crate::bench::process::has_ended_within(
            &child,
            Duration::MAX
        ));
        let used = cpu_time(number).expect("it was not waited for");
        assert!(used > Duration::ZERO);
        child.wait().expect("a child");
        assert_eq!(cpu_time(number), None);
    }

    #[test]
    fn threads_of_the_kernel_are_told_from_programs() {
        let everybody = everybody();
        let own = std::process::id().cast_signed();
        let mut found = everybody.iter();
        let own = found.find(|member| member.process.pid == own);
        assert_eq!(own.expect("this test").kind, Kind::Program);
        // In a container there are none.
        let kernel = everybody
            .iter()
            .filter(|member| member.kind != Kind::Program);
        for member in kernel {
            let line = member.process.cmdline().unwrap_or_default();
            assert!(line.is_empty(), "{line:?}");
        }
    }
}
