//! Clients that ask for some paths all along, and what they may be answered while the files change.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Client, HANG, Response};

/// Where only the descriptor of a file is kept, the state of the open file is asked for once in a
/// millisecond of the server's clock: so long may a head, of an entry that is believed, be that of a
/// file that was written in place meanwhile.
const COMPARED: Duration = Duration::from_millis(1);

/// A path that is asked for, and what stands there at one time or another.
pub(crate) struct Watched {
    pub(crate) target: String,
    /// Fields of the request, each ended by CR LF.
    pub(crate) fields: &'static str,
    pub(crate) states: Vec<State>,
    pub(crate) changes: Changes,
    /// The tag of the response whose bytes are kept in memory when the changes begin.
    pub(crate) kept_tag: Option<String>,
}

/// What stands at a path for a while.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) status: u16,
    pub(crate) coding: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

/// How one state becomes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// At once: there is nothing between.
    Atomic,
    /// In steps that can be seen, such as those of a file that is written: the kernel does not hold
    /// readers off meanwhile.
    InPlace,
    /// The same, and the time of the bytes is put back: tags of time and size are then wrong, those
    /// of a file that changed a moment ago are not.
    InPlaceUnseen,
}

/// A change that was made.
pub(crate) struct Change {
    /// Which of the watched paths, and which of its states came of it.
    pub(crate) path: usize,
    pub(crate) state: usize,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// One answer, by the clock of the client.
pub(crate) struct Answer {
    began: Instant,
    ended: Instant,
    /// The state it shows; none for a mixture, or where it ended too early.
    state: Option<usize>,
    tag: Option<String>,
}

impl State {
    pub(crate) fn file(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            coding: None,
            body,
        }
    }

    pub(crate) fn missing() -> Self {
        Self {
            status: 404,
            coding: None,
            body: b"404 Not Found\n".to_vec(),
        }
    }

    fn is_in(&self, response: &Response) -> bool {
        response.status == self.status
            && response.field("content-encoding") == self.coding
            && response.body == self.body
    }
}

/// Clients on connections that they keep, each of which asks for one path after the other.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Vec<Vec<Answer>>>>,
    rounds: Arc<Rounds>,
}

struct Rounds {
    is_over: AtomicBool,
    /// When the last round of each client that came to its end began.
    began: Mutex<Vec<Option<Instant>>>,
    changed: Condvar,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: usize, watched: &Arc<Vec<Watched>>) -> Self {
        let rounds = Arc::new(Rounds {
            is_over: AtomicBool::new(false),
            began: Mutex::new(vec![None; clients]),
            changed: Condvar::new(),
        });
        let ask = |index| {
            let (watched, rounds) = (Arc::clone(watched), Arc::clone(&rounds));
            std::thread::spawn(move || ask_all_along(address, index, &watched, &rounds))
        };
        Self {
            clients: (0..clients).map(ask).collect(),
            rounds,
        }
    }

    /// Waits until each client has asked for every path, and was answered, after `time`.
    pub(crate) fn wait_until_asked_after(&self, time: Instant) {
        let is_behind = |began: &mut Vec<Option<Instant>>| {
            let is_over = self.clients.iter().any(JoinHandle::is_finished);
            !began.iter().all(|&began| began > Some(time)) && !is_over
        };
        let began = self.rounds.began.lock().expect("no panic");
        let waited = self
            .rounds
            .changed
            .wait_timeout_while(began, HANG, is_behind);
        let is_late = waited.expect("no panic").1.timed_out();
        assert!(!is_late, "the clients are not answered");
    }

    /// The answers that all clients had, by path.
    pub(crate) fn stop(self) -> Vec<Vec<Answer>> {
        self.rounds.is_over.store(true, Ordering::Relaxed);
        let mut all: Vec<Vec<Answer>> = Vec::new();
        for client in self.clients {
            let answers = client.join().expect("no panic");
            all.resize_with(answers.len(), Vec::new);
            for (of_all, of_one) in all.iter_mut().zip(answers) {
                of_all.extend(of_one);
            }
        }
        all
    }
}

fn ask_all_along(
    address: SocketAddr,
    index: usize,
    watched: &[Watched],
    rounds: &Rounds,
) -> Vec<Vec<Answer>> {
    let mut client = connect(address);
    let mut answers: Vec<Vec<Answer>> = watched.iter().map(|_| Vec::new()).collect();
    while !rounds.is_over.load(Ordering::Relaxed) {
        let round_began = Instant::now();
        for (path, answers) in watched.iter().zip(&mut answers) {
            let (answer, is_whole) = ask(address, &mut client, path);
            if !is_whole {
                client = connect(address);
            }
            answers.push(answer);
        }
        rounds.began.lock().expect("no panic")[index] = Some(round_began);
        rounds.changed.notify_all();
    }
    answers
}

/// A connection of which the server has answered a request: from now on it looks at its clock
/// between the coming of a request and the answer. One that was accepted just now is read at once.
fn connect(address: SocketAddr) -> Client {
    let mut client = Client::new(TcpStream::connect(address).expect("the server accepts"));
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response(false).status, 204);
    client
}

fn ask(address: SocketAddr, client: &mut Client, path: &Watched) -> (Answer, bool) {
    let (target, fields) = (&path.target, path.fields);
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
    let mut began = Instant::now();
    let response = client.try_request(request.as_bytes()).or_else(|| {
        // The server has ended the connection after the response before, whose file was changed.
        *client = connect(address);
        began = Instant::now();
        client.try_request(request.as_bytes())
    });
    let ended = Instant::now();
    let response = response.as_ref().and_then(|answer| answer.as_ref().ok());
    let shown = |response| path.states.iter().position(|state| state.is_in(response));
    let answer = Answer {
        began,
        ended,
        state: response.and_then(shown),
        tag: response.and_then(|response| response.field("etag").map(str::to_owned)),
    };
    (answer, response.is_some())
}

/// Asserts that each answer is one that may be given where nothing is believed for longer than
/// `ttl`. `changes` are those of this path, in order; before them it had its first state.
pub(crate) fn assert_coherent(
    path: &Watched,
    answers: &[Answer],
    changes: &[&Change],
    ttl: Duration,
) {
    let in_words = |answer: &Answer| {
        let since = changes
            .iter()
            .rfind(|change| change.ended <= answer.began)
            .map(|change| (change.state, answer.began - change.ended));
        format!(
            "{} shows state {:?} with tag {:?}, asked for after the change to state {since:?}, ttl {ttl:?}",
            path.target, answer.state, answer.tag
        )
    };
    let states: Vec<usize> = std::iter::once(0)
        .chain(changes.iter().map(|change| change.state))
        .collect();
    let may_show = |answer: &Answer, place: usize| {
        let has_come = place == 0 || changes[place - 1].began <= answer.ended;
        let is_believed = |next: &&Change| answer.began < next.ended + ttl;
        has_come && changes.get(place).is_none_or(is_believed)
    };
    let meets_a_change = |answer: &Answer| {
        path.changes != Changes::Atomic
            && changes.iter().any(|change| {
                let late = COMPARED.min(ttl);
                change.began <= answer.ended && answer.began < change.ended + late
            })
    };
    let mut tags: HashMap<&str, usize> = HashMap::new();
    for answer in answers {
        let is_kept = answer.tag.is_some() && answer.tag == path.kept_tag;
        let Some(state) = answer.state else {
            assert!(meets_a_change(answer) && !is_kept, "{}", in_words(answer));
            continue;
        };
        let may_show = (0..states.len()).any(|at| states[at] == state && may_show(answer, at));
        assert!(may_show, "{}", in_words(answer));
        let Some(tag) = answer
            .tag
            .as_deref()
            .filter(|_| is_kept || !meets_a_change(answer))
        else {
            continue;
        };
        if path.changes == Changes::InPlaceUnseen && !tag.ends_with("-f\"") {
            continue;
        }
        let first = *tags.entry(tag).or_insert(state);
        assert_eq!(first, state, "one tag for two states: {}", in_words(answer));
    }
    for state in states {
        let is_seen = answers.iter().any(|answer| answer.state == Some(state));
        assert!(is_seen, "{}: nobody was shown state {state}", path.target);
    }
}
