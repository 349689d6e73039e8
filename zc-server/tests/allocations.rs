//! What is kept ready is answered without the allocator: it is counted here, over the whole process,
//! while a client that has its own memory asks again and again.
//!
//! The count is one of the whole process, so there is one test in it, which others beside it would
//! disturb. The other threads sleep when counting begins, and nothing wakes them but the requests: the
//! timeouts of the server are an hour, and what it drops for being unused is in use. Where the machine
//! keeps the test itself from asking for that long, what it counted is thrown away.

mod harness;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use harness::{HANG, pattern, wait_until};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use zc_server::config::{CacheLimits, Clients, Networks};
use zc_server::{Config, Handle, Server};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 200;
/// The same for bodies that take several turns.
const REQUESTS_HUGE: usize = 20;
/// Requests before, in which buffers grow to their size.
const REQUESTS_BEFORE: usize = 20;
/// Longer than the test lasts.
const HOUR_MS: u64 = 3_600_000;
/// What nobody asks for in some seconds, the server closes, and then opens again. A test that stood still
/// for so long counts again.
const LATE: Duration = Duration::from_secs(1);
/// Counts that are thrown away at most.
const TRIES_MAX: usize = 20;
/// A receive buffer that a long body does not fit into: the server waits for room.
const NARROW_BYTES: usize = 16 << 10;

const SMALL: usize = 3 << 10;
const CACHE_FILE_MAX: usize = 4 << 10;
const MIDDLE: usize = 10 << 10;
const LARGE: usize = 300 << 10;
/// More than a turn sends, and than the buffers of a socket hold.
const HUGE: usize = 6 << 20;

/// A request, and the status and length of its answer.
struct Case<'c> {
    request: &'c str,
    status: &'static str,
    body: usize,
}

/// A connection with memory of its own.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, receive_bytes: Option<usize>) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).expect("a buffer");
        }
        socket.connect(&address.into()).expect("the server accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        Self {
            stream,
            answer: vec![0; HUGE + 4096],
        }
    }

    /// Asks, and answers how many bytes came up to the end of the body.
    fn learn(&mut self, case: &Case<'_>) -> usize {
        self.send(case);
        let mut count = 0;
        loop {
            count += self
                .stream
                .read(&mut self.answer[count..])
                .expect("an answer");
            let come = &self.answer[..count];
            let head_end = come.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(length) = head_end.map(|end| end + 4 + case.body)
                && count >= length
            {
                assert_eq!(count, length, "{}", case.request);
                return count;
            }
        }
    }

    fn send(&mut self, case: &Case<'_>) {
        self.stream
            .write_all(case.request.as_bytes())
            .expect("a request is taken");
    }

    fn read(&mut self, count: usize) -> &[u8] {
        let answer = &mut self.answer[..count];
        self.stream.read_exact(answer).expect("an answer");
        answer
    }
}

/// Serves what `root` has to `clients`, with nothing that is done by the clock while it is counted.
fn serve(
    root: &std::path::Path,
    clients: Clients,
) -> (SocketAddr, Handle, std::thread::JoinHandle<()>) {
    let mut config = Config::for_root(root).expect("a root");
    config.binds = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
    config.threads = 1;
    config.clients = clients;
    // Counting for the metrics allocates nothing either.
    config.admin_bind = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into());
    config.header_timeout_ms = HOUR_MS;
    config.idle_timeout_ms = HOUR_MS;
    config.send_timeout_ms = HOUR_MS;
    config.cache = CacheLimits {
        file_max_bytes: CACHE_FILE_MAX as u64,
        ttl_ms: HOUR_MS,
        ..CacheLimits::default()
    };
    let server = Server::bind(config).expect("a server");
    let address = server.listening()[0].address.socket_address();
    let (address, handle) = (address.expect("of TCP"), server.handle());
    let run = std::thread::spawn(move || {
        server.run().expect("nothing fails");
    });
    (address, handle, run)
}

/// Asserts that all answers are what they have to be, and that nobody allocates meanwhile.
fn assert_nothing_allocated(client: &mut Client, case: &Case<'_>, body: &[u8]) {
    let length = client.learn(case);
    let first = client.answer[..length].to_vec();
    let status = format!("HTTP/1.1 {} ", case.status);
    assert!(first.starts_with(status.as_bytes()), "{}", case.request);
    assert!(first.ends_with(body), "{}", case.request);
    let date = first
        .windows(6)
        .position(|window| window == b"Date: ")
        .expect("a date")
        + 6;
    let behind = date + "Sun, 06 Nov 1994 08:49:37 GMT".len();
    // Answers whether it was late.
    let mut ask = |times| {
        let mut last = Instant::now();
        let mut is_late = false;
        for _ in 0..times {
            client.send(case);
            let answer = client.read(length);
            assert!(answer[..date] == first[..date], "{}", case.request);
            assert!(answer[behind..] == first[behind..], "{}", case.request);
            let now = Instant::now();
            is_late |= now - last > LATE;
            last = now;
        }
        is_late
    };
    ask(REQUESTS_BEFORE);
    let requests = if body.len() < HUGE {
        REQUESTS
    } else {
        REQUESTS_HUGE
    };
    for _ in 0..TRIES_MAX {
        // A thread that began with the server allocates too, which a busy machine puts off.
        wait_until("the other threads sleep", others_sleep);
        let region = Region::new(ALLOCATOR);
        let is_late = ask(requests);
        let change = region.change();
        let count = (change.allocations, change.reallocations);
        if count == (0, 0) {
            return;
        }
        assert!(is_late, "{count:?} for {}", case.request);
    }
    panic!("the machine stands still all the time");
}

/// Whether all threads of this process but the one that asks sleep.
fn others_sleep() -> bool {
    let own = nix::unistd::gettid().to_string();
    let tasks = std::fs::read_dir("/proc/self/task").expect("our own");
    let mut others = tasks
        .map(|task| task.expect("our own").path())
        .filter(|task| !task.ends_with(&own));
    others.all(|task| {
        // One that has ended meanwhile is not there when they are counted again.
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        let behind_name = stat.rsplit_once(") ").map(|(_, behind)| behind);
        behind_name.is_some_and(|behind| behind.starts_with('S'))
    })
}

#[test]
fn what_is_kept_is_answered_without_allocating() {
    // Another server tells when the files are no longer taken for such as are being written.
    let other = harness::Server::start(&[]);
    let files = [
        ("small", SMALL),
        ("middle", MIDDLE),
        ("large", LARGE),
        ("huge", HUGE),
    ];
    let files = files.map(|(name, length)| (name, pattern(length, length as u64)));
    for (name, bytes) in &files {
        other.write(name, bytes);
    }
    for (name, _) in &files {
        other.wait_until_settled(&format!("/{name}"));
    }
    let (address, handle, run) = serve(other.root.path(), Clients::default());
    let [small, middle, large, huge] = files.each_ref().map(|(_, bytes)| &bytes[..]);
    let cases = [
        ("GET /small HTTP/1.1\r\nHost: t\r\n\r\n", "200", small),
        ("GET /middle HTTP/1.1\r\nHost: t\r\n\r\n", "200", middle),
        ("GET /large HTTP/1.1\r\nHost: t\r\n\r\n", "200", large),
        ("GET /huge HTTP/1.1\r\nHost: t\r\n\r\n", "200", huge),
        ("HEAD /small HTTP/1.1\r\nHost: t\r\n\r\n", "200", b""),
        ("HEAD /large HTTP/1.1\r\nHost: t\r\n\r\n", "200", b""),
        (
            "GET /small HTTP/1.1\r\nHost: t\r\nIf-None-Match: *\r\n\r\n",
            "304",
            b"",
        ),
        (
            "GET /large HTTP/1.1\r\nHost: t\r\nIf-None-Match: *\r\n\r\n",
            "304",
            b"",
        ),
        (
            "GET /small HTTP/1.1\r\nHost: t\r\nRange: bytes=5-104\r\n\r\n",
            "206",
            &small[5..105],
        ),
        (
            "GET /middle HTTP/1.1\r\nHost: t\r\nRange: bytes=5-\r\n\r\n",
            "206",
            &middle[5..],
        ),
        (
            "GET /large HTTP/1.1\r\nHost: t\r\nRange: bytes=5-104\r\n\r\n",
            "206",
            &large[5..105],
        ),
        (
            "GET /large HTTP/1.1\r\nHost: t\r\nRange: bytes=5-\r\n\r\n",
            "206",
            &large[5..],
        ),
        (
            "GET /none HTTP/1.1\r\nHost: t\r\n\r\n",
            "404",
            b"404 Not Found\n",
        ),
        (
            "GET /none HTTP/1.1\r\nHost: t\r\nAccept: */*\r\n\r\n",
            "404",
            b"404 Not Found\n",
        ),
        ("HEAD /none HTTP/1.1\r\nHost: t\r\n\r\n", "404", b""),
    ];
    for receive_bytes in [None, Some(NARROW_BYTES)] {
        let mut client = Client::connect(address, receive_bytes);
        for (request, status, body) in cases {
            let case = Case {
                request,
                status,
                body: body.len(),
            };
            assert_nothing_allocated(&mut client, &case, body);
        }
    }
    handle.stop();
    run.join().expect("no panic");
    ask_behind_a_proxy(other.root.path(), small, large);
}

/// Who asks is found in the request, looked for in networks, and answered with what the request is called.
fn ask_behind_a_proxy(root: &std::path::Path, small: &[u8], large: &[u8]) {
    let networks = |text: &str| {
        let network = text.parse().expect("a network");
        [network].into_iter().collect::<Networks>()
    };
    let (address, handle, run) = serve(
        root,
        Clients {
            trusted_proxies: networks("127.0.0.0/8"),
            allow: networks("192.0.2.0/24"),
            deny: networks("192.0.2.66"),
            request_ids: true,
            ..Clients::default()
        },
    );
    let request = |target, client| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: t\r\nX-Request-Id: a-name\r\n\
             X-Forwarded-For: 203.0.113.1, {client}, 127.0.0.1\r\n\r\n"
        )
    };
    let mut client = Client::connect(address, None);
    for (target, from, status, body) in [
        ("/small", "192.0.2.7", "200", small),
        ("/large", "192.0.2.7", "200", large),
        ("/small", "192.0.2.66", "403", b"403 Forbidden\n"),
        ("/none", "192.0.2.7", "404", b"404 Not Found\n"),
    ] {
        let request = request(target, from);
        let case = Case {
            request: &request,
            status,
            body: body.len(),
        };
        assert_nothing_allocated(&mut client, &case, body);
    }
    handle.stop();
    run.join().expect("no panic");
}
