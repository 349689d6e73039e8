use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `/proc/stat` of two cores: what each was idle, was taken, and had in softirq, in ticks; and the time
/// that interrupts of devices had.
fn cores(each: [(u64, u64, u64); 2], of_devices: u64) -> Cores {
    let mut stat = format!("cpu  100000 0 0 0 0 {of_devices} 0 0\n");
    for (number, (idle, steal, softirq)) in each.into_iter().enumerate() {
        stat.push_str(&format!("cpu{number} 0 0 0 {idle} 0 0 {softirq} {steal}\n"));
    }
    Cores::parse(&stat)
}

fn watch(sharing: Sharing, cores: Cores) -> Watch {
    Watch {
        cores: vec![0, 1],
        sharing,
        known: Vec::new(),
        before: Reading {
            at: Instant::now(),
            cores,
            cpu_times: HashMap::new(),
        },
    }
}

fn used(core: usize, seconds: f64) -> Used {
    Used {
        number: 1000 + i32::try_from(core).expect("few"),
        parent: 1,
        cores: vec![core],
        seconds,
    }
}

/// What others had in a window of a second, in per cent, where not all processes are seen.
fn foreign(watch: &Watch, after: Cores, ours: &[Used]) -> Vec<i64> {
    foreign_beside(watch, &after, ours, None)
}

/// The same where the other processes are these.
fn foreign_beside(
    watch: &Watch,
    after: &Cores,
    ours: &[Used],
    others: Option<Vec<Used>>,
) -> Vec<i64> {
    let after = Reading {
        at: watch.before.at + Duration::from_secs(1),
        cores: after.clone(),
        cpu_times: HashMap::new(),
    };
    let shares = Shares {
        ours: ours.to_vec(),
        kernel: Vec::new(),
        others,
    };
    let parts = watch.foreign(&after, &shares).into_iter();
    parts.map(|part| (part * 100.0).round() as i64).collect()
}

#[test]
fn what_is_neither_idle_nor_taken_nor_ours_is_foreign() {
    let second = (1.0 / tick_seconds()) as u64;
    let before = cores([(7, 0, 0), (9, 0, 0)], 0);
    // Half idle, a tenth taken by the host; and never idle.
    let after = cores([(7 + second / 2, second / 10, 0), (9, 0, 0)], 0);
    let apart = watch(Sharing::Apart, before.clone());
    let ours = [used(0, 0.3), used(1, 0.98), used(1, 0.02)];
    assert_eq!(foreign(&apart, after.clone(), &ours), [10, 0]);
    assert_eq!(foreign(&apart, after.clone(), &[]), [40, 100]);
    let together = watch(Sharing::Together, before);
    // Where on the two cores they were does not count, and what was on both counts once.
    assert_eq!(foreign(&together, after.clone(), &[used(0, 1.2)]), [20]);
    let both = Used {
        cores: vec![0, 1],
        ..used(0, 1.2)
    };
    assert_eq!(foreign(&together, after, &[both]), [20]);
}

#[test]
fn interrupts_that_wake_an_idle_core_are_foreign_only_where_others_could_be() {
    let second = (1.0 / tick_seconds()) as u64;
    let before = cores([(0, 0, 0); 2], 0);
    // The second core is idle for a third. Of the rest, 60 % are ours, and 7 % nobody's.
    let after = cores([(0, 0, 0), (second / 100 * 33, 0, 0)], 0);
    let ours = [used(0, 1.0), used(1, 0.6)];
    let apart = watch(Sharing::Apart, before.clone());
    let seen = |others| foreign_beside(&apart, &after, &ours, others);
    assert_eq!(seen(None), [0, 7]);
    assert_eq!(seen(Some(vec![])), [0, 0]);
    assert_eq!(seen(Some(vec![used(1, 0.05)])), [0, 5]);
    // It was on the first core, and on both.
    assert_eq!(seen(Some(vec![used(0, 0.05)])), [0, 0]);
    let both = Used {
        cores: vec![0, 1],
        ..used(0, 0.05)
    };
    assert_eq!(seen(Some(vec![both])), [0, 5]);
    // On other cores it used more than this one had.
    assert_eq!(seen(Some(vec![used(1, 0.5)])), [0, 7]);
    let together = watch(Sharing::Together, before);
    let seen = |others| foreign_beside(&together, &after, &ours, others);
    assert_eq!(seen(None), [7]);
    assert_eq!(seen(Some(vec![used(0, 0.03), used(1, 0.02)])), [5]);
    assert_eq!(seen(Some(vec![used(7, 0.05)])), [0]);
}

#[test]
fn what_those_used_who_have_ended_is_on_the_accounts_of_their_parents() {
    let accounts = |of: &[(i32, f64, f64)]| -> HashMap<i32, Account> {
        let account = |(number, own, children): &(i32, f64, f64)| {
            let account = Account {
                at_the_beginning: Duration::from_secs_f64(*own),
                of_children: Duration::from_secs_f64(*children),
            };
            (*number, account)
        };
        of.iter().map(account).collect()
    };
    let before = accounts(&[(1, 9.0, 20.0), (2, 5.0, 1.0), (3, 4.0, 0.5)]);
    let ended = |now: &[(i32, f64, f64)]| {
        let found = ended_seconds(&before, &accounts(now));
        found.map(|seconds| (seconds * 100.0).round() / 100.0)
    };
    // Nobody has ended; one has come.
    assert_eq!(
        ended(&[(1, 9.0, 20.0), (2, 5.0, 1.0), (3, 4.0, 0.5)]),
        Some(0.0)
    );
    assert_eq!(
        ended(&[(1, 9.0, 20.0), (2, 5.0, 1.0), (3, 4.0, 0.5), (4, 0.0, 0.0)]),
        Some(0.0)
    );
    // One has come and gone between two looks.
    assert_eq!(
        ended(&[(1, 9.0, 20.0), (2, 5.0, 1.25), (3, 4.0, 0.5)]),
        Some(0.25)
    );
    // The third had used 4.5 s with its children, and used 0.3 s more.
    assert_eq!(ended(&[(1, 9.0, 20.0), (2, 5.0, 5.8)]), Some(0.3));
    // And so on to the parent of its parent.
    assert_eq!(ended(&[(1, 9.0, 30.9)]), Some(0.4));
    // Rounded down.
    assert_eq!(ended(&[(1, 9.0, 20.0), (2, 5.0, 5.49)]), Some(0.0));
    // Nobody waited for it.
    assert_eq!(ended(&[(1, 9.0, 20.0), (2, 5.0, 1.0)]), None);
}

#[test]
fn what_is_shorter_than_a_tick_is_nothing() {
    let second = (1.0 / tick_seconds()) as u64;
    let watch = watch(Sharing::Apart, cores([(0, 0, 0); 2], 0));
    let after = cores([(second - 1, 0, 0), (second - 3, 0, 0)], 0);
    assert_eq!(foreign(&watch, after, &[used(0, 0.002)]), [0, 3]);
}

#[test]
fn softirq_of_our_own_traffic_is_not_foreign_however_the_kernel_counts_it() {
    let second = (1.0 / tick_seconds()) as u64;
    let softirq = second * 4 / 10;
    // Within the time of the process that it came upon.
    let within = watch(Sharing::Apart, cores([(0, 0, 0); 2], 0));
    let after = cores([(0, 0, softirq), (0, 0, softirq)], 0);
    assert_eq!(
        foreign(&within, after, &[used(0, 1.0), used(1, 0.9)]),
        [0, 10]
    );
    // Taken off from it.
    let apart = watch(Sharing::Apart, cores([(0, 0, 0); 2], 1000));
    let after = cores([(0, 0, softirq), (0, 0, softirq)], 1000);
    assert_eq!(
        foreign(&apart, after, &[used(0, 0.6), used(1, 0.5)]),
        [0, 10]
    );
}

/// A loop that ends with the test.
struct Spinner(Pid);

impl Spinner {
    fn is_at_work_for(&self, time: Duration) {
        let now = || cpu_time(self.0.as_raw()).expect("it runs");
        let until = now() + time;
        while now() < until {
            std::thread::yield_now();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGKILL).expect("it runs");
    }
}

const SPIN: &str = "while :; do :; done";

fn own() -> (Child, Spinner) {
    let child = Command::new("sh").args(["-c", SPIN]).spawn();
    let child = child.expect("a shell");
    let number = Pid::from_raw(child.id().cast_signed());
    (child, Spinner(number))
}

/// The child of a shell that has ended is nobody's of ours.
fn of_others(work: &str) -> Spinner {
    let script = format!("({work}) >/dev/null 2>&1 & echo $!");
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let output = shell.stdout.take().expect("a pipe");
    BufReader::new(output)
        .read_line(&mut line)
        .expect("a number");
    shell.wait().expect("a child");
    Spinner(Pid::from_raw(line.trim().parse().expect("a number")))
}

#[test]
fn the_time_of_a_child_is_ours_and_that_of_others_is_foreign() {
    const WORK: Duration = Duration::from_millis(300);
    let machine = Machine::default();
    let (mut child, spinner) = own();
    let mut watch = Watch::new(&machine, Sharing::Together);
    watch.begin();
    spinner.is_at_work_for(WORK);
    let seen = watch.end();
    let used = seen.cpu_seconds(spinner.0.as_raw());
    assert!(used >= WORK.as_secs_f64(), "{seen:?}");
    drop(spinner);
    child.wait().expect("a child");

    let spinner = of_others(SPIN);
    let mut watch = Watch::new(&machine, Sharing::Together);
    watch.begin();
    let began = Instant::now();
    spinner.is_at_work_for(WORK);
    let seen = watch.end();
    let window = began.elapsed().as_secs_f64();
    assert_eq!(seen.cpu_seconds(spinner.0.as_raw()), 0.0);
    // Whatever else this machine does comes on top; a third is for what is rounded, and taken away.
    assert!(
        most(&seen.foreign) * window > WORK.as_secs_f64() * 0.6,
        "{seen:?}"
    );
    assert!(seen.busy_seconds > WORK.as_secs_f64() * 0.6, "{seen:?}");
}

#[test]
fn the_time_of_others_who_have_ended_is_foreign() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = |name: &str| {
        let path = directory.path().join(name);
        let status = Command::new("mkfifo").arg(&path).status();
        assert!(status.expect("mkfifo").success());
        path
    };
    let (go, done) = (fifo("go"), fifo("done"));
    let child = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    // It waits for its child, tells so, and waits until it is told to end.
    let work = format!(
        "read word <{go}; sh -c '{child}'; echo done >{done}; read word <{go}",
        go = go.display(),
        done = done.display()
    );
    let parent = of_others(&work);
    let mut watch = Watch::new(&Machine::default(), Sharing::Together);
    watch.begin();
    let began = Instant::now();
    std::fs::write(&go, "word\n").expect("a reader");
    std::fs::read(&done).expect("a writer");
    let seen = watch.end();
    let window = began.elapsed().as_secs_f64();
    let everybody = everybody();
    let mut found = everybody.iter();
    let found = found.find(|member| member.process.pid == parent.0.as_raw());
    let used = found.expect("it waits").of_children.as_secs_f64();
    assert!(used > 0.0);
    assert!(
        most(&seen.foreign) * window > used * 0.6,
        "{used} of {seen:?}"
    );
}

#[test]
fn a_servers_time_is_that_of_all_its_descendants() {
    let member = |number, parent, seconds| Used {
        number,
        parent,
        cores: vec![0],
        seconds,
    };
    let seen = Seen {
        ours: vec![
            member(20, 10, 0.5),
            member(10, 1, 0.0),
            member(30, 20, 0.25),
            member(40, 1, 8.0),
        ],
        ..Seen::default()
    };
    assert_eq!(seen.cpu_seconds(10), 0.75);
    assert_eq!(seen.cpu_seconds(40), 8.0);
    assert_eq!(seen.cpu_seconds(99), 0.0);
}

#[test]
fn a_window_that_was_not_looked_at_in_time_is_disturbed() {
    let foreign = |seen_seconds: f64, measured_seconds: f64| {
        let seen = Seen {
            foreign: vec![0.0, 0.1],
            seconds: seen_seconds,
            ..Seen::default()
        };
        let parts = seen.beside(measured_seconds).foreign.into_iter();
        let parts = parts.map(|part| (part * 100.0).round() as i64);
        parts.collect::<Vec<_>>()
    };
    assert_eq!(foreign(0.5, 0.5), [0, 10]);
    // Less than can be seen.
    assert_eq!(foreign(0.505, 0.5), [0, 10]);
    // It was begun late, or it was ended late.
    assert_eq!(foreign(0.25, 1.0), [75, 75]);
    assert_eq!(foreign(1.0, 0.5), [50, 50]);
    assert_eq!(foreign(0.0, 1.0), [100, 100]);
}

/// Measures what was disturbed so much, one after the other; answers the part that counts, how often it
/// was measured, and how many repeats are left.
fn repeated(windows: &[(f64, f64)], left: u32, stop: bool) -> (f64, usize, u32) {
    let mut repeats = Repeats {
        left,
        steal_max: 0.01,
    };
    let mut measured = 0;
    let quietest = quietest(
        &mut repeats,
        &AtomicBool::new(stop),
        |seen: &Seen| seen,
        |why| {
            assert_eq!(why.is_some(), measured > 0);
            let (foreign, steal) = windows[measured];
            measured += 1;
            Ok(Seen {
                foreign: vec![0.0, foreign],
                steal,
                ..Seen::default()
            })
        },
    );
    let quietest = quietest.expect("no measurement fails");
    (most(&quietest.foreign), measured, repeats.left)
}

#[test]
fn a_disturbed_window_is_repeated_so_many_times_at_most_and_the_quietest_counts() {
    let (quiet, loud, louder) = ((0.02, 0.0), (0.05, 0.0), (0.4, 0.0));
    assert_eq!(repeated(&[quiet], 9, false), (0.02, 1, 9));
    assert_eq!(repeated(&[louder, quiet], 9, false), (0.02, 2, 8));
    assert_eq!(repeated(&[louder, loud, louder], 9, false), (0.05, 3, 7));
    assert_eq!(repeated(&[loud, louder, louder], 9, false), (0.05, 3, 7));
    // None is left for this one, or it is the end of the run.
    assert_eq!(repeated(&[louder], 0, false), (0.4, 1, 0));
    assert_eq!(repeated(&[louder, loud], 1, false), (0.05, 2, 0));
    assert_eq!(repeated(&[louder], 9, true), (0.4, 1, 9));
}

#[test]
fn a_repeat_that_the_end_of_the_run_cuts_short_does_not_count() {
    for repeat_fails in [false, true] {
        let stop = AtomicBool::new(false);
        let mut repeats = Repeats {
            left: 9,
            steal_max: 0.01,
        };
        let seen = |part| Seen {
            foreign: vec![part],
            ..Seen::default()
        };
        let quietest = quietest(
            &mut repeats,
            &stop,
            |seen: &Seen| seen,
            |why| {
                if why.is_none() {
                    return Ok(seen(0.5));
                }
                stop.store(true, Ordering::Relaxed);
                anyhow::ensure!(!repeat_fails, "the run was interrupted");
                Ok(seen(0.0))
            },
        );
        let quietest = quietest.expect("the first was measured");
        assert_eq!(quietest.foreign, [0.5]);
    }
}

#[test]
fn a_repeat_that_fails_is_told() {
    let mut repeats = Repeats {
        left: 9,
        steal_max: 0.01,
    };
    let loud = Seen {
        foreign: vec![0.5],
        ..Seen::default()
    };
    let outcome = quietest(
        &mut repeats,
        &AtomicBool::new(false),
        |seen: &Seen| seen,
        |why| {
            anyhow::ensure!(why.is_none(), "a body that is not its file");
            Ok(loud.clone())
        },
    );
    assert!(outcome.is_err());
}

#[test]
fn what_the_host_takes_disturbs_as_what_others_take_does() {
    // Each is told as a part of what is borne: 2 % of foreign time, and here 1 % of stolen time.
    let (stolen, foreign) = ((0.0, 0.05), (0.06, 0.0));
    assert_eq!(repeated(&[stolen, foreign, stolen], 9, false), (0.06, 3, 7));
    let seen = |(foreign, steal)| Seen {
        foreign: vec![foreign],
        steal,
        ..Seen::default()
    };
    let why = seen(stolen).disturbed_by(0.01);
    assert_eq!(why, "the hypervisor took 5.0 % of the time");
    let why = seen(foreign).disturbed_by(0.01);
    assert_eq!(why, "other programs used 6.0 % of a core");
}
