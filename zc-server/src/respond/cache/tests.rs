use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use zc_http::{AcceptEncoding, HttpTime, MediaAcceptance};

use super::*;
use crate::config::Config;
use crate::files::content::Content;
use crate::files::file_state::Stability;
use crate::files::lookup::{Query, look_up};
use crate::files::open_file::{OpenMode, ResolveError};
use crate::files::representation::Representation;
use crate::files::root::Root;
use crate::observe::diagnostics::Diagnostics;
use crate::respond::prepared;
use crate::services::Services;

const TTL_MS: u64 = 1_000;
const BOUNDS: Bounds = Bounds {
    entries: 100,
    bytes: 1 << 20,
    file_max: 4096,
    ttl_ms: TTL_MS,
};
/// Length of most files, in bytes: short enough to be kept.
const LENGTH: usize = 1000;

/// Files on a disk, and what a worker asks of them.
struct Files {
    directory: tempfile::TempDir,
    services: Services,
    content: Content,
    root: Arc<Root>,
    now: HttpTime,
}

impl Files {
    /// Files of one length, each of one byte again and again.
    fn new(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config::for_root(directory.path()).expect("a root");
        let diagnostics = Diagnostics::start().expect("a thread");
        let services = Services::start(&config, diagnostics).expect("threads");
        let opened = Content::open(&config, &services.mounts, &services.diagnostics, None);
        let (content, mut roots) = opened.expect("a root");
        let root = roots.remove(0);
        let files = Self {
            directory,
            services,
            content,
            root,
            now: HttpTime::from(SystemTime::now()),
        };
        for name in names {
            files.write(name, &vec![name.as_bytes()[0]; LENGTH]);
        }
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// A file that was not written in this second: of one that was, nothing is kept until it is over.
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
        let minute_ago = SystemTime::now() - std::time::Duration::from_secs(60);
        let file = std::fs::File::options().write(true).open(self.path(name));
        file.and_then(|file| file.set_modified(minute_ago))
            .expect("a time");
    }

    /// What stands there once nobody can take it for being written.
    fn found(&self, name: &str) -> Found {
        loop {
            match self.found_now(name) {
                Found::File(resource) if resource.file.stability != Stability::Settled => {
                    std::thread::yield_now();
                }
                found => return found,
            }
        }
    }

    fn found_now(&self, name: &str) -> Found {
        let query = Query {
            path: name.as_bytes(),
            is_directory: false,
            accepted: AcceptEncoding::IDENTITY,
            html: MediaAcceptance::Covered,
            open_mode: OpenMode::MayBlock,
        };
        look_up(&self.root, self.content.rules_of(0), query)
    }

    /// What a request does: `None` where nothing is kept of the path.
    fn ask(&self, cache: &mut ResponseCache, name: &str, now_ms: u64) -> Option<Id> {
        let key = key(name);
        match cache.get(key, now_ms) {
            Some(id) => Some(id),
            None => self.insert(cache, name, self.found(name), now_ms),
        }
    }

    fn insert(
        &self,
        cache: &mut ResponseCache,
        name: &str,
        found: Found,
        now_ms: u64,
    ) -> Option<Id> {
        let key = key(name);
        let make = |resource| {
            let rules = self.content.rules_of(0);
            CachedFile::new(Representation::new(resource, rules, self.now))
        };
        let id = cache.insert(key, found, now_ms, make).ok()?;
        let file_max = cache.bounds().file_max;
        if let Some(CacheEntry::File(file)) = cache.entry(id)
            && file.whole.is_none()
        {
            let whole = prepared::whole(
                &file.representation,
                file_max,
                &self.services,
                self.content.rules_of(0),
                self.now,
            );
            file.whole = Some(whole);
            return cache.charge(id).ok();
        }
        Some(id)
    }

    fn ask_twice(&self, cache: &mut ResponseCache, name: &str, now_ms: u64) -> Option<Id> {
        self.ask(cache, name, now_ms);
        self.ask(cache, name, now_ms)
    }
}

fn key(name: &str) -> Key<'_> {
    Key {
        root: RootId::from_number(1),
        path: name.as_bytes(),
        is_directory: false,
        preference: 0,
    }
}

fn body(cache: &ResponseCache, id: Id) -> Option<&[u8]> {
    cache.file(id).and_then(CachedFile::content)
}

/// Asserts what holds at all times.
fn assert_bounded(cache: &ResponseCache) {
    let weights = cache.entries.iter().map(|(_, entry)| entry.weight);
    assert_eq!(cache.bytes, weights.sum::<usize>());
    assert_eq!(cache.table.len(), cache.entries.len());
    assert!(cache.bytes <= cache.bounds.bytes, "{} bytes", cache.bytes);
    assert!(cache.entries.len() <= cache.bounds.entries);
}

fn open_files_of(directory: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("our own");
    let is_below = |link: &Path| link.starts_with(directory) && link != directory;
    descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| is_below(link))
        .count()
}

#[test]
fn a_path_is_kept_from_its_second_request_on() {
    let files = Files::new(&["a"]);
    std::fs::create_dir(files.path("d")).expect("a directory");
    let mut cache = ResponseCache::new(BOUNDS);
    for name in ["a", "none", "d"] {
        assert_eq!(files.ask(&mut cache, name, 0), None, "{name}");
        assert_eq!(cache.get(key(name), 0), None, "{name}");
        let id = files.ask(&mut cache, name, 0);
        assert!(id.is_some(), "{name}");
        assert_eq!(cache.get(key(name), 0), id, "{name}");
    }
    let id = cache.get(key("a"), 0).expect("kept");
    assert_eq!(body(&cache, id), Some(&[b'a'; LENGTH][..]));
    assert!(cache.whole(id).ends_with(&[b'a'; LENGTH]));
    let none = cache.get(key("none"), 0).expect("kept");
    assert!(matches!(cache.entry(none), Some(CacheEntry::Missing)));
    let redirect = cache.get(key("d"), 0).expect("kept");
    assert!(matches!(cache.entry(redirect), Some(CacheEntry::Redirect)));
}

#[test]
fn without_entries_nothing_is_kept() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(Bounds {
        entries: 0,
        ..BOUNDS
    });
    for _ in 0..3 {
        assert_eq!(files.ask(&mut cache, "a", 0), None);
    }
    assert!(cache.entries.is_empty());
    assert_eq!(cache.next_sweep_ms(), None);
}

#[test]
fn one_entry_is_of_one_path_after_the_other() {
    let files = Files::new(&["a", "b"]);
    let mut cache = ResponseCache::new(Bounds {
        entries: 1,
        ..BOUNDS
    });
    for name in ["a", "b", "a"] {
        let id = files.ask_twice(&mut cache, name, 0).expect("kept");
        let expected = [name.as_bytes()[0]; LENGTH];
        assert_eq!(body(&cache, id), Some(&expected[..]));
        assert_bounded(&cache);
    }
    assert_eq!(cache.get(key("b"), 0), None);
}

#[test]
fn what_is_in_use_survives_what_is_not() {
    let names: Vec<String> = (0..40).map(|number| format!("{number}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("used");
    let files = Files::new(&all);
    let mut cache = ResponseCache::new(Bounds {
        entries: CANDIDATES,
        ..BOUNDS
    });
    files.ask_twice(&mut cache, "used", 0).expect("kept");
    for (time, name) in (1..).zip(&names) {
        assert!(cache.get(key("used"), time).is_some(), "at {time}");
        files.ask_twice(&mut cache, name, time).expect("kept");
        assert!(cache.get(key(name), time).is_some(), "{name}");
        assert_bounded(&cache);
    }
    assert_eq!(cache.entries.len(), CANDIDATES);
    // As few as there are, all are candidates: those that are left were asked for last.
    for name in &names[names.len() - (CANDIDATES - 1)..] {
        assert!(cache.get(key(name), 40).is_some(), "{name}");
    }
}

#[test]
fn memory_is_never_exceeded() {
    let names: Vec<String> = (0..30).map(|number| format!("{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let files = Files::new(&all);
    let mut cache = ResponseCache::new(BOUNDS);
    files.ask_twice(&mut cache, "0", 0).expect("kept");
    let weight = cache.bytes;
    assert!(weight > LENGTH);
    // Room for five, and not for six.
    cache.bounds.bytes = 5 * weight + weight / 2;
    for (time, name) in (1..).zip(&names) {
        let id = files.ask_twice(&mut cache, name, time).expect("kept");
        // A 304 that is made later is counted already.
        if let Some(CacheEntry::File(file)) = cache.entry(id) {
            let ready =
                prepared::not_modified(&file.representation, files.content.rules_of(0), files.now);
            let held = file.whole.as_ref().map_or(0, Prepared::weight) + ready.weight();
            file.not_modified = Some(ready);
            let held = held + size_of::<Entry>() + size_of::<CachedFile>();
            assert!(cache.entries[id.0 as usize].weight >= held);
        }
        assert_bounded(&cache);
    }
    assert_eq!(cache.entries.len(), 5);
    // One that is too heavy for the whole cache drives nobody out.
    cache.bounds.file_max = u64::MAX;
    files.write("heavy", &vec![0; 6 * weight]);
    for _ in 0..3 {
        assert_eq!(files.ask(&mut cache, "heavy", 40), None);
        assert_bounded(&cache);
    }
    assert_eq!(cache.entries.len(), 5);
    assert_eq!(open_files_of(files.directory.path()), 5);
}

#[test]
fn an_entry_is_believed_for_the_time_to_live_and_then_renewed() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(BOUNDS);
    let id = files.ask_twice(&mut cache, "a", 7).expect("kept");
    let bytes = cache.whole(id).as_ptr();
    assert_eq!(cache.get(key("a"), 7 + TTL_MS - 1), Some(id));
    // Being asked for makes it no younger.
    assert_eq!(cache.get(key("a"), 7 + TTL_MS), None);
    assert_eq!(files.ask(&mut cache, "a", 7 + TTL_MS), Some(id));
    assert_eq!(cache.whole(id).as_ptr(), bytes, "the response is the same");
    assert_eq!(cache.get(key("a"), 7 + 2 * TTL_MS - 1), Some(id));

    files.write("a", &[b'z'; LENGTH / 2]);
    let kept = cache.get(key("a"), 7 + 2 * TTL_MS - 1).expect("believed");
    assert_eq!(body(&cache, kept), Some(&[b'a'; LENGTH][..]));
    let id = files.ask(&mut cache, "a", 7 + 2 * TTL_MS).expect("kept");
    assert_eq!(body(&cache, id), Some(&[b'z'; LENGTH / 2][..]));

    std::fs::remove_file(files.path("a")).expect("the file");
    let id = files.ask(&mut cache, "a", 7 + 3 * TTL_MS).expect("kept");
    assert!(matches!(cache.entry(id), Some(CacheEntry::Missing)));
    // A thread closes what is deleted.
    while open_files_of(files.directory.path()) > 0 {
        std::thread::yield_now();
    }
    assert_bounded(&cache);
}

#[test]
fn without_a_time_to_live_each_request_asks_the_disk() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(Bounds {
        ttl_ms: 0,
        ..BOUNDS
    });
    let id = files.ask_twice(&mut cache, "a", 0).expect("kept");
    let bytes = cache.whole(id).as_ptr();
    assert_eq!(cache.get(key("a"), 0), None);
    assert_eq!(files.ask(&mut cache, "a", 0), Some(id));
    assert_eq!(cache.whole(id).as_ptr(), bytes, "the response is the same");
    files.write("a", b"another");
    let id = files.ask(&mut cache, "a", 0).expect("kept");
    assert_eq!(body(&cache, id), Some(&b"another"[..]));
}

#[test]
fn a_file_that_changed_a_moment_ago_is_not_kept() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(BOUNDS);
    files.ask(&mut cache, "a", 0);
    // The time of its metadata is now, that of its bytes is not; again where the test was stopped
    // between the two calls.
    let found = loop {
        let permissions = std::fs::metadata(files.path("a")).expect("a file");
        std::fs::set_permissions(files.path("a"), permissions.permissions()).expect("chmod");
        match files.found_now("a") {
            Found::File(resource) if resource.file.stability == Stability::Settled => {}
            found => break found,
        }
    };
    assert_eq!(files.insert(&mut cache, "a", found, 0), None);
    assert!(cache.entries.is_empty());
    let id = files.ask(&mut cache, "a", 0).expect("kept");
    assert_eq!(body(&cache, id), Some(&[b'a'; LENGTH][..]));
}

#[test]
fn what_is_kept_of_a_root_that_was_let_go_is_dropped_in_turns() {
    let names: Vec<String> = (0..FORGET_PLACES + 10).map(|n| n.to_string()).collect();
    let files = Files::new(&[]);
    let mut cache = ResponseCache::new(Bounds {
        entries: 2 * names.len(),
        ..BOUNDS
    });
    for name in &names {
        // Nothing stands there, which is kept, too.
        files.ask_twice(&mut cache, name, 0).expect("kept");
    }
    let other = Key {
        root: RootId::from_number(2),
        ..key("0")
    };
    let missing = || Found::Nothing(ResolveError::NotFound);
    let make = |_| unreachable!("nothing was found");
    for _ in 0..2 {
        let _ = cache.insert(other, missing(), 0, make);
    }
    cache.forget(RootId::from_number(1));
    assert_eq!(cache.next_sweep_ms(), Some(0), "at once");
    cache.sweep(1);
    let left = cache.entries.len();
    assert!(left > 1 && left <= names.len(), "{left}");
    while cache.next_sweep_ms() == Some(0) {
        cache.sweep(1);
    }
    assert_eq!(cache.entries.len(), 1);
    assert!(cache.get(other, 1).is_some());
    assert_bounded(&cache);
}

#[test]
fn an_open_file_without_its_bytes_is_compared_once_in_a_millisecond() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(Bounds {
        file_max: 0,
        ..BOUNDS
    });
    let id = files.ask_twice(&mut cache, "a", 5).expect("kept");
    assert_eq!(body(&cache, id), None);
    assert_eq!(cache.get(key("a"), 6), Some(id));
    files.write("a", b"another");
    assert_eq!(cache.get(key("a"), 6), Some(id), "compared before");
    assert_eq!(cache.get(key("a"), 7), None);
    assert!(cache.entries.is_empty(), "dropped at once");
    assert_bounded(&cache);
}

#[test]
fn what_nobody_asks_for_is_dropped() {
    let files = Files::new(&["a", "b"]);
    let mut cache = ResponseCache::new(Bounds {
        ttl_ms: u64::MAX,
        ..BOUNDS
    });
    files.ask_twice(&mut cache, "a", 0).expect("kept");
    files.ask_twice(&mut cache, "b", 0).expect("kept");
    assert!(cache.get(key("b"), 1).is_some());
    assert_eq!(open_files_of(files.directory.path()), 2);
    assert_eq!(cache.next_sweep_ms(), Some(SWEEP_MS));
    cache.sweep(UNUSED_MS - 1);
    assert_eq!(cache.entries.len(), 2);
    // Not looked at again so soon.
    cache.sweep(UNUSED_MS);
    assert_eq!(cache.entries.len(), 2);
    cache.swept_ms = 0;
    cache.sweep(UNUSED_MS);
    assert_eq!(cache.get(key("a"), UNUSED_MS), None);
    assert!(cache.get(key("b"), UNUSED_MS).is_some());
    assert_eq!(open_files_of(files.directory.path()), 1);
    cache.sweep(3 * UNUSED_MS);
    assert_eq!(open_files_of(files.directory.path()), 0);
    assert_eq!(cache.next_sweep_ms(), None);
    assert_bounded(&cache);
}

#[test]
fn every_part_of_a_key_counts() {
    let files = Files::new(&["a"]);
    let mut cache = ResponseCache::new(BOUNDS);
    files.ask_twice(&mut cache, "a", 0).expect("kept");
    let own = key("a");
    assert!(cache.get(own, 0).is_some());
    for other in [
        Key {
            root: RootId::from_number(2),
            ..own
        },
        Key { path: b"b", ..own },
        Key {
            is_directory: true,
            ..own
        },
        Key {
            preference: 1,
            ..own
        },
    ] {
        assert_eq!(cache.get(other, 0), None, "{other:?}");
        // Where two had one hash, the parts would tell them apart.
        let hash = cache.hash(own);
        let entry = cache.entries.iter().next().expect("one").1;
        assert!(entry.has(hash, own) && !entry.has(hash, other), "{other:?}");
    }
}

#[test]
fn all_is_dropped_where_descriptors_run_out_and_half_of_it_may_come_back_at_first() {
    let names: Vec<String> = (0..BOUNDS.entries).map(|index| index.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let files = Files::new(&names);
    let mut cache = ResponseCache::new(BOUNDS);
    assert!(!cache.shed_descriptors());
    // Long enough for all to be allowed again.
    let settled_ms = SWEEP_MS * (RECOVERY_SWEEPS as u64 + 1);
    let fill = |cache: &mut ResponseCache, now_ms| {
        for name in &names {
            files.ask_twice(cache, name, now_ms);
            assert_bounded(cache);
        }
        open_files_of(files.directory.path())
    };
    for sweep in 0..=RECOVERY_SWEEPS as u64 {
        cache.sweep(SWEEP_MS * (sweep + 1));
    }
    assert_eq!(fill(&mut cache, settled_ms), BOUNDS.entries);
    assert!(cache.shed_descriptors());
    assert_eq!(open_files_of(files.directory.path()), 0);
    assert_eq!(fill(&mut cache, settled_ms), BOUNDS.entries / 2);
    cache.sweep(settled_ms + SWEEP_MS);
    assert!(fill(&mut cache, settled_ms + SWEEP_MS) > BOUNDS.entries / 2);
}
