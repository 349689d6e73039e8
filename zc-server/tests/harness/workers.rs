//! The threads of a server that serve, as `/proc` shows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::wait_until;

/// Threads of a server, by their directories in `/proc`.
pub(crate) struct Workers(Vec<PathBuf>);

impl Workers {
    /// Waits until each of the `count` workers of the process has begun and has its name.
    ///
    /// A new thread has its parent's name at first, so that a thread of the disk is a second worker
    /// of some name for a moment.
    pub(super) fn of(pid: u32, count: usize) -> Self {
        let mut workers = BTreeMap::new();
        wait_until("one thread for each worker", || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("our child");
            let tasks: Vec<_> = tasks
                .map(|task| task.expect("our child").path())
                .filter_map(|task| Some((std::fs::read_to_string(task.join("comm")).ok()?, task)))
                .filter(|(name, _)| name.starts_with("zc-worker"))
                .collect();
            let seen = tasks.len();
            workers = tasks.into_iter().collect();
            (seen, workers.len()) == (count, count)
        });
        Self(workers.into_values().collect())
    }

    /// True when every one of them sleeps in epoll: it is not preempted, and does not wait for a
    /// lock or for the disk.
    pub(crate) fn wait_for_events(&self) -> bool {
        let in_epoll = |task: &PathBuf| sleeps_in(task).is_some_and(is_epoll);
        self.0.iter().all(in_epoll)
    }

    /// How often they have gone to sleep so far: a thread that is preempted does not.
    pub(crate) fn sleeps(&self) -> u64 {
        let of_one = |task: &PathBuf| {
            let status = std::fs::read_to_string(task.join("status")).expect("our child");
            let mut lines = status.lines();
            let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let count = count.and_then(|count| count.trim().parse::<u64>().ok());
            count.expect("a number, see proc_pid_status(5)")
        };
        self.0.iter().map(of_one).sum()
    }

    /// Where one of them waits for the queue of a device, if one does: the stack of its calls in the kernel.
    /// `None` as well where the kernel does not show it, as to who is not root.
    pub(crate) fn waits_for_a_device(&self) -> Option<String> {
        let waits = |task: &PathBuf| {
            let is_blocked = || state(task) == Some('D');
            let before = is_blocked();
            let stack = std::fs::read_to_string(task.join("stack")).ok()?;
            let waits = before && stack.contains("submit_bio") && is_blocked();
            (waits || stack.contains("blk_mq_get_tag")).then_some(stack)
        };
        self.0.iter().find_map(waits)
    }

    /// What each of them does in the kernel now, for who looks for what hangs.
    pub(crate) fn stacks(&self) -> String {
        let of_one = |task: &PathBuf| {
            let read = |name| std::fs::read_to_string(task.join(name)).unwrap_or_default();
            let (name, state) = (read("comm"), state(task));
            format!("{}, state {state:?}:\n{}", name.trim_end(), read("stack"))
        };
        self.0.iter().map(of_one).collect()
    }

    /// True when every one of them sleeps in another system call than epoll.
    pub(crate) fn sleep_elsewhere(&self) -> bool {
        let elsewhere = |task: &PathBuf| sleeps_in(task).is_some_and(|call| !is_epoll(call));
        self.0.iter().all(elsewhere)
    }
}

/// The system call that a thread sleeps in, if it does.
fn sleeps_in(task: &Path) -> Option<i64> {
    let call = std::fs::read_to_string(task.join("syscall")).expect("our child");
    let number = call.split_whitespace().next()?.parse().ok();
    number.filter(|_| matches!(state(task), Some('S' | 'D')))
}

/// The state of a thread, by its letter in proc_pid_stat(5).
fn state(task: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    // It stands behind the name, which may hold anything but is in parentheses.
    stat.rsplit_once(") ")?.1.chars().next()
}

fn is_epoll(call: i64) -> bool {
    let mut calls = vec![nix::libc::SYS_epoll_pwait];
    #[cfg(target_arch = "x86_64")]
    calls.push(nix::libc::SYS_epoll_wait);
    calls.contains(&call)
}
