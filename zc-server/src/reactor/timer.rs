//! Deadlines of many connections: a hashed timer wheel.
//!
//! Time is cut into ticks, by default of [`TICK_MS`]. Each tick ahead has a slot, and the slots are reused round
//! and round. To schedule is to push onto a slot, and to expire is to empty the slots whose time
//! has come, so both cost the same for ten connections and for a million.
//!
//! There is no cancelling. An item comes out at its slot's time, and whoever gets it looks whether
//! its deadline still stands, has moved, or is gone. A connection that makes progress thus only
//! writes down its new deadline, and the wheel is touched once per timeout and not once per packet.

/// One tick, in milliseconds: how late an item may be. Timeouts are seconds.
pub(crate) const TICK_MS: u64 = 250;

/// Slots of the wheel. The horizon is 128 s, past the default timeouts; what lies beyond it comes
/// out there and is scheduled again.
const SLOTS: u64 = 512;

/// Bits of one word of the occupancy map.
const WORD_BITS: u64 = u64::BITS as u64;

/// Words of the occupancy map.
const WORDS: usize = (SLOTS / WORD_BITS) as usize;

/// Items to be given back at their deadlines; times are milliseconds of the caller's clock.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// Slot `t % SLOTS` holds the items of tick `t`. Slots keep their capacity.
    slots: Vec<Vec<T>>,
    /// Bit `s` is set if and only if slot `s` holds an item.
    occupied: [u64; WORDS],
    /// The last tick that was expired. Invariant: every item is of a tick in
    /// `current + 1 ..= current + SLOTS`.
    current: u64,
    tick_ms: u64,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that starts at `now_ms`.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self::with_tick(now_ms, TICK_MS)
    }

    /// The same with ticks of another length.
    pub(crate) fn with_tick(now_ms: u64, tick_ms: u64) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            current: now_ms / tick_ms,
            tick_ms,
        }
    }

    /// Has `item` come out at `deadline_ms`, rounded up to a tick; answers when that is.
    ///
    /// A deadline beyond the horizon comes out at the horizon, and one that has passed at the next
    /// tick.
    pub(crate) fn schedule(&mut self, item: T, deadline_ms: u64) -> u64 {
        let tick = deadline_ms
            .div_ceil(self.tick_ms)
            .clamp(self.current + 1, self.current + SLOTS);
        let slot = slot_of(tick);
        self.slots[slot].push(item);
        self.occupied[slot / WORD_BITS as usize] |= 1 << (slot as u64 % WORD_BITS);
        tick * self.tick_ms
    }

    /// When [`expire`](Self::expire) next has something to give, or `None` for an empty wheel.
    pub(crate) fn next_wakeup_ms(&self) -> Option<u64> {
        let first = slot_of(self.current + 1) as u64;
        let (first_word, first_bit) = ((first / WORD_BITS) as usize, first % WORD_BITS);
        // Once round, and the first word again for the bits before the first slot.
        (0..=WORDS).find_map(|step| {
            let word = (first_word + step) % WORDS;
            let mask = match step {
                0 => u64::MAX << first_bit,
                WORDS => !(u64::MAX << first_bit),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits == 0 {
                return None;
            }
            let slot = word as u64 * WORD_BITS + u64::from(bits.trailing_zeros());
            let ahead = (slot + SLOTS - first) % SLOTS;
            Some((self.current + 1 + ahead) * self.tick_ms)
        })
    }

    /// Moves the items whose time has come into `expired`, the earliest first.
    ///
    /// Time that runs backwards expires nothing.
    pub(crate) fn expire(&mut self, now_ms: u64, expired: &mut Vec<T>) {
        let now = now_ms / self.tick_ms;
        // After a whole revolution every slot is empty, however far the clock jumped.
        for tick in self.current + 1..=now.min(self.current + SLOTS) {
            let slot = slot_of(tick);
            expired.append(&mut self.slots[slot]);
            self.occupied[slot / WORD_BITS as usize] &= !(1 << (slot as u64 % WORD_BITS));
        }
        self.current = self.current.max(now);
    }
}

/// The slot of a tick.
fn slot_of(tick: u64) -> usize {
    (tick % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obvious way: a list of (due time, item), searched.
    struct Naive {
        items: Vec<(u64, u32)>,
        current_ms: u64,
    }

    impl Naive {
        fn schedule(&mut self, item: u32, deadline_ms: u64) {
            let mut due_ms = self.current_ms + TICK_MS;
            while due_ms < deadline_ms && due_ms < self.current_ms + SLOTS * TICK_MS {
                due_ms += TICK_MS;
            }
            self.items.push((due_ms, item));
        }

        fn next_wakeup_ms(&self) -> Option<u64> {
            self.items.iter().map(|&(due_ms, _)| due_ms).min()
        }

        fn expire(&mut self, now_ms: u64) -> Vec<u32> {
            self.items.sort_by_key(|&(due_ms, _)| due_ms);
            let due = self.items.partition_point(|&(due_ms, _)| due_ms <= now_ms);
            self.current_ms = self.current_ms.max(now_ms - now_ms % TICK_MS);
            self.items.drain(..due).map(|(_, item)| item).collect()
        }
    }

    /// A small generator with a fixed seed (xorshift64), so that failures repeat.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    #[test]
    fn agrees_with_the_naive_model() {
        for seed in 1..=20 {
            let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
            let mut now_ms = random.below(1_000_000);
            let mut wheel = Wheel::new(now_ms);
            let mut naive = Naive {
                items: Vec::new(),
                current_ms: now_ms - now_ms % TICK_MS,
            };
            let mut expired = Vec::new();
            for item in 0..5_000 {
                if random.below(3) > 0 {
                    // Mostly near, sometimes past the horizon, sometimes already over.
                    let reach_ms = [100, 1_000, 60_000, 130_000, 900_000][random.below(5) as usize];
                    let deadline_ms = (now_ms + random.below(reach_ms)).saturating_sub(300);
                    wheel.schedule(item, deadline_ms);
                    naive.schedule(item, deadline_ms);
                } else {
                    // Mostly a little, sometimes more than a revolution.
                    let reach_ms = [10, 250, 2_000, 128_000, 500_000][random.below(5) as usize];
                    now_ms += random.below(reach_ms);
                    expired.clear();
                    wheel.expire(now_ms, &mut expired);
                    assert_eq!(expired, naive.expire(now_ms), "seed {seed}, at {now_ms} ms");
                }
                assert_eq!(
                    wheel.next_wakeup_ms(),
                    naive.next_wakeup_ms(),
                    "seed {seed}"
                );
            }
        }
    }

    #[test]
    fn never_early_below_the_horizon_and_at_most_one_tick_late() {
        for deadline_ms in [1_001, 1_249, 1_250, 1_251, 1_500, 60_000, 128_750] {
            let mut wheel = Wheel::new(1_000);
            wheel.schedule('x', deadline_ms);
            let wakeup_ms = wheel.next_wakeup_ms().unwrap();
            assert!(
                (deadline_ms..deadline_ms + TICK_MS).contains(&wakeup_ms),
                "{deadline_ms}"
            );
            let mut expired = Vec::new();
            wheel.expire(wakeup_ms - 1, &mut expired);
            assert!(expired.is_empty(), "{deadline_ms}");
            wheel.expire(wakeup_ms, &mut expired);
            assert_eq!(expired, ['x'], "{deadline_ms}");
            assert_eq!(wheel.next_wakeup_ms(), None);
        }
    }

    #[test]
    fn beyond_the_horizon_comes_out_at_the_horizon() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(1, u64::MAX);
        assert_eq!(wheel.next_wakeup_ms(), Some(SLOTS * TICK_MS));
    }

    #[test]
    fn time_that_runs_backwards_expires_nothing() {
        let mut wheel = Wheel::new(10_000);
        wheel.schedule(1, 10_500);
        let mut expired = Vec::new();
        wheel.expire(0, &mut expired);
        assert!(expired.is_empty());
        assert_eq!(wheel.next_wakeup_ms(), Some(10_500));
    }

    #[test]
    fn slots_keep_their_capacity() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(1, 250);
        let capacity = wheel.slots[1].capacity();
        wheel.expire(250, &mut Vec::new());
        assert!(capacity > 0);
        assert_eq!(wheel.slots[1].capacity(), capacity);
    }
}
