//! The idle connections of a worker, ordered by how long they have been idle.
//!
//! At the limit of connections, or of descriptors, the one that has been idle longest makes room for a
//! new one. Adding, removing and finding it take the same time however many there are.

use mio::Token;

use crate::connection::Idleness;
use crate::reactor::slots;

/// How long a connection counts as busy after it was accepted, and after each event of its handshake, although
/// nothing more has come of it, in microseconds: its first request may be under way. Beside a full queue of new
/// connections, each would else be closed for the next one before its request arrives.
const SILENCE_US: u64 = 1_000_000;

/// Marks the end of a list.
const NOBODY: u32 = u32::MAX;

/// The idle connections of one worker, in two lists.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    /// The place of each connection in its list, by the key of its token.
    nodes: Vec<Option<Node>>,
    /// Those that had a request.
    kept: Ends,
    /// Those that had none.
    silent: Ends,
}

/// The first and the last of a list. Each is added with a time that is not before those of the others.
#[derive(Debug)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    token: Token,
    since_us: u64,
    before: u32,
    after: u32,
    list: List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Kept,
    Silent,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            first: NOBODY,
            last: NOBODY,
        }
    }
}

impl IdleConnections {
    /// What a connection is doing from now on, in microseconds of the server's clock.
    pub(super) fn note(&mut self, token: Token, idleness: Idleness, now_us: u64) {
        self.forget(token);
        match idleness {
            Idleness::Busy => {}
            Idleness::Kept => self.push(token, List::Kept, now_us),
            Idleness::Silent => self.push(token, List::Silent, now_us + SILENCE_US),
        }
    }

    /// A connection has something to do, or is gone.
    pub(super) fn forget(&mut self, token: Token) {
        let entry = self.nodes.get_mut(slots::key(token));
        let Some(node) = entry.and_then(|node| node.take_if(|node| node.token == token)) else {
            return;
        };
        match self.node(node.before) {
            Some(before) => before.after = node.after,
            None => self.ends(node.list).first = node.after,
        }
        match self.node(node.after) {
            Some(after) => after.before = node.before,
            None => self.ends(node.list).last = node.before,
        }
    }

    /// The connection that has been idle longest, and since when. One that never sent a byte counts as
    /// idle after [`SILENCE_US`], so that this time may be in the future.
    pub(super) fn oldest(&self) -> Option<(Token, u64)> {
        let first = |ends: &Ends| self.nodes.get(ends.first as usize).copied().flatten();
        let firsts = [first(&self.kept), first(&self.silent)];
        let oldest = firsts
            .into_iter()
            .flatten()
            .min_by_key(|node| node.since_us)?;
        Some((oldest.token, oldest.since_us))
    }

    fn push(&mut self, token: Token, list: List, since_us: u64) {
        let key = slots::key(token);
        if self.nodes.len() <= key {
            self.nodes.resize(key + 1, None);
        }
        let before = std::mem::replace(&mut self.ends(list).last, index(key));
        self.nodes[key] = Some(Node {
            token,
            since_us,
            before,
            after: NOBODY,
            list,
        });
        match self.node(before) {
            Some(node) => node.after = index(key),
            None => self.ends(list).first = index(key),
        }
    }

    fn ends(&mut self, list: List) -> &mut Ends {
        match list {
            List::Kept => &mut self.kept,
            List::Silent => &mut self.silent,
        }
    }

    fn node(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)?.as_mut()
    }
}

/// Keys are below the limit of connections, which has less than 32 bits.
fn index(key: usize) -> u32 {
    u32::try_from(key).expect("a token has 32 bits for the key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: usize) -> Token {
        Token(1 << 32 | key)
    }

    fn order(idle: &IdleConnections, ends: &Ends) -> Vec<usize> {
        let mut keys = Vec::new();
        let mut index = ends.first;
        while let Some(node) = idle.nodes.get(index as usize).copied().flatten() {
            keys.push(slots::key(node.token));
            index = node.after;
        }
        let last = idle.nodes.get(ends.last as usize).copied().flatten();
        assert_eq!(
            last.map(|node| slots::key(node.token)),
            keys.last().copied()
        );
        keys
    }

    #[test]
    fn the_lists_agree_with_vectors() {
        let mut idle = IdleConnections::default();
        let (mut kept, mut silent) = (Vec::new(), Vec::new());
        let mut random = 0x9e37_79b9_u32;
        for step in 0..5_000_u64 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let key = (random % 40) as usize;
            kept.retain(|&other| other != key);
            silent.retain(|&other| other != key);
            let idleness = match random >> 16 & 3 {
                0 => Idleness::Busy,
                1 => Idleness::Silent,
                _ => Idleness::Kept,
            };
            match idleness {
                Idleness::Busy => {}
                Idleness::Silent => silent.push(key),
                Idleness::Kept => kept.push(key),
            }
            idle.note(token(key), idleness, step);
            assert_eq!(order(&idle, &idle.kept), kept);
            assert_eq!(order(&idle, &idle.silent), silent);
            // All of the kept ones are older than silent ones are within these steps.
            let oldest = idle.oldest().map(|(token, _)| slots::key(token));
            assert_eq!(oldest, kept.first().or_else(|| silent.first()).copied());
        }
    }

    #[test]
    fn a_byte_of_a_handshake_begins_the_time_of_silence_anew() {
        let mut idle = IdleConnections::default();
        idle.note(token(1), Idleness::Silent, 0);
        idle.note(token(2), Idleness::Silent, 10);
        // Something has come: it waits for its turn, and is not to be closed meanwhile.
        idle.forget(token(1));
        assert_eq!(idle.oldest(), Some((token(2), SILENCE_US + 10)));
        idle.note(token(1), Idleness::Silent, SILENCE_US - 1);
        idle.forget(token(2));
        assert_eq!(idle.oldest(), Some((token(1), 2 * SILENCE_US - 1)));
    }

    #[test]
    fn the_oldest_of_both_kinds_goes_first() {
        let mut idle = IdleConnections::default();
        idle.note(token(1), Idleness::Silent, 0);
        idle.note(token(2), Idleness::Kept, SILENCE_US - 1);
        idle.note(token(3), Idleness::Kept, SILENCE_US + 1);
        assert_eq!(idle.oldest(), Some((token(2), SILENCE_US - 1)));
        idle.note(token(2), Idleness::Busy, SILENCE_US + 2);
        assert_eq!(idle.oldest(), Some((token(1), SILENCE_US)));
        // A late token reaches nobody.
        idle.forget(Token(2 << 32 | 1));
        assert_eq!(idle.oldest(), Some((token(1), SILENCE_US)));
        idle.note(token(1), Idleness::Kept, SILENCE_US + 3);
        assert_eq!(idle.oldest(), Some((token(3), SILENCE_US + 1)));
        idle.forget(token(3));
        idle.forget(token(1));
        assert_eq!(idle.oldest(), None);
    }
}
