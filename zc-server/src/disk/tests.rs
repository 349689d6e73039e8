use std::sync::mpsc;

use super::*;

const THREADS: usize = 4;

#[test]
fn a_job_that_panics_ends_no_thread() {
    let disk = Disk::start(Role::Read, THREADS, 100).expect("threads");
    let mut handles = Vec::new();
    for _ in 0..2 * THREADS {
        let panic = |_: &Fetcher, _: &CancelToken| {
            std::panic::resume_unwind(Box::new("on purpose"));
        };
        let handle = disk.submit(1, panic);
        handles.push(handle.expect("room"));
    }
    let (did, done) = mpsc::channel();
    let work = move |_: &Fetcher, _: &CancelToken| did.send(7).expect("heard");
    handles.push(disk.submit(1, work).expect("room"));
    assert_eq!(done.recv(), Ok(7));
}

#[test]
fn threads_run_at_background_priority() {
    let disk = Disk::start(Role::Read, 1, 100).expect("a thread");
    let (told, policy) = mpsc::channel();
    let work = move |_: &Fetcher, _: &CancelToken| {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("proc(5)");
        let (_, behind_name) = stat.rsplit_once(')').expect("a name");
        let policy = behind_name.split_whitespace().nth(38).map(str::to_owned);
        told.send(policy).expect("heard");
    };
    let _job = disk.submit(1, work).expect("room");
    // SCHED_BATCH, see proc(5).
    assert_eq!(policy.recv().expect("told").as_deref(), Some("3"));
}

#[test]
fn there_are_as_many_threads_as_are_needed_and_no_more() {
    let disk = Disk::start(Role::Read, THREADS, 100).expect("a thread");
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let (did, begun) = mpsc::channel();
    let mut handles = Vec::new();
    // Each mount may have a thread while one is free.
    for mount in 0..2 * THREADS as Key {
        let (held, did) = (Arc::clone(&held), did.clone());
        let work = move |_: &Fetcher, _: &CancelToken| {
            did.send(()).expect("heard");
            let _ = held.lock().expect("no panic").recv();
        };
        handles.push(disk.submit(mount, work).expect("room"));
    }
    for _ in 0..THREADS {
        begun.recv().expect("as many as there are threads");
    }
    assert_eq!(disk.0.lock().threads, THREADS);
    assert!(begun.try_recv().is_err());
    drop(release);
    for _ in 0..THREADS {
        begun.recv().expect("the others after them");
    }
    assert_eq!(disk.0.lock().threads, THREADS);
}

#[test]
fn a_cancelled_job_is_not_done() {
    let disk = Disk::start(Role::Read, 1, 100).expect("a thread");
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let blocking = move |_: &Fetcher, _: &CancelToken| {
        began.send(()).expect("heard");
        let _ = held.recv();
    };
    let _blocking = disk.submit(1, blocking).expect("room");
    begun.recv().expect("the thread is taken");
    let (did, done) = mpsc::channel();
    let noted = |word: &'static str| {
        let did = did.clone();
        move |_: &Fetcher, _: &CancelToken| did.send(word).expect("heard")
    };
    let cancelled = disk.submit(1, noted("cancelled")).expect("room");
    let dropped = disk.submit(1, noted("dropped")).expect("room");
    let _kept = disk.submit(1, noted("kept")).expect("room");
    assert!(cancelled.cancel());
    drop(dropped);
    drop(release);
    assert_eq!(done.recv(), Ok("kept"));
    assert!(done.try_recv().is_err());
}

#[test]
fn a_job_that_is_cancelled_before_its_turn_leaves_with_all_that_it_holds() {
    let disk = Disk::start(Role::Read, 1, 4).expect("a thread");
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let blocking = move |_: &Fetcher, _: &CancelToken| {
        began.send(()).expect("heard");
        let _ = held.recv();
    };
    let _blocking = disk.submit(1, blocking).expect("room");
    begun.recv().expect("the thread is taken");
    let file = Arc::new(tempfile::tempfile().expect("a file"));
    let submit = || {
        let file = Arc::clone(&file);
        disk.submit(1, move |_: &Fetcher, _: &CancelToken| drop(file))
    };
    for _ in 0..100 {
        let jobs = [submit(), submit()].map(|job| job.expect("half of the places"));
        assert!(submit().is_err());
        assert_eq!(Arc::strong_count(&file), 3);
        assert!(jobs[0].cancel());
        drop(jobs);
        assert_eq!(Arc::strong_count(&file), 1);
    }
    drop(release);
}

#[test]
fn closing_finds_a_full_queue_open() {
    let disk = Disk::start(Role::Read, 1, 2).expect("a thread");
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let blocking = move |_: &Fetcher, _: &CancelToken| {
        began.send(()).expect("heard");
        let _ = held.recv();
    };
    let _blocking = disk.submit(1, blocking).expect("room");
    begun.recv().expect("the thread is taken");
    let _full = disk.submit(1, |_, _| ()).expect("room");
    assert!(disk.submit(1, |_, _| ()).is_err());
    let (reader, writer) = io::pipe().expect("a pipe");
    let writer = File::from(std::os::fd::OwnedFd::from(writer));
    disk.handle().closer(1).close(writer);
    // A pipe ends when nobody has its other end.
    assert!(!has_hung_up(&reader));
    drop(release);
    assert_eq!(io::read_to_string(reader).expect("its end"), "");
}

fn has_hung_up(reader: &io::PipeReader) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

#[test]
fn a_job_is_either_committed_or_cancelled() {
    let token = CancelToken::default();
    assert!(token.commit() && token.commit());
    assert_eq!(token.cancel(), Err(COMMITTED));
    let token = CancelToken::default();
    assert_eq!((token.take(), token.cancel()), (true, Ok(TAKEN)));
    assert!(!token.commit());
    let token = CancelToken::default();
    assert_eq!(token.cancel(), Ok(WAITING));
    assert!(!token.take() && !token.commit());
}

#[test]
fn what_waits_works_and_is_refused_is_counted() {
    let disk = Disk::start(Role::Read, 1, 2).expect("a thread");
    let (go_on, wait) = mpsc::channel::<()>();
    let (told, begun) = mpsc::channel();
    let work = move |_: &Fetcher, _: &CancelToken| {
        told.send(()).expect("heard");
        let _ = wait.recv();
    };
    let mut handles = vec![disk.submit(1, work)];
    begun.recv().expect("it has begun");
    handles.extend((0..3).map(|_| disk.submit(1, |_: &Fetcher, _: &CancelToken| {})));
    let refused = handles.iter().filter(|handle| handle.is_err()).count() as u64;
    let expected = DiskState {
        queued: 3 - refused,
        threads: 1,
        busy: 1,
        refused,
    };
    assert!(refused > 0);
    assert_eq!(disk.state(), expected);
    drop(go_on);
}
