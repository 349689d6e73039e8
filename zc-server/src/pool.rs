//! Boxes that are used again.

/// How many boxes a pool keeps.
const BOXES_MAX: usize = 64;

/// Boxes of values that are gone, for those to come: filling one takes no allocation.
#[derive(Debug, Default)]
pub(crate) struct BoxPool<T>(Vec<Box<T>>);

impl<T: Default> BoxPool<T> {
    pub(crate) fn fill(&mut self, value: T) -> Box<T> {
        match self.0.pop() {
            Some(mut vacant) => {
                *vacant = value;
                vacant
            }
            None => Box::new(value),
        }
    }

    /// Takes a value out of its box, and keeps the box.
    pub(crate) fn empty(&mut self, mut filled: Box<T>) -> T {
        let value = std::mem::take(&mut *filled);
        if self.0.len() < BOXES_MAX {
            self.0.push(filled);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_used_again_and_their_number_is_bounded() {
        let mut pool = BoxPool::default();
        let first = pool.fill(String::from("first"));
        let address = std::ptr::from_ref(&*first);
        assert_eq!(pool.empty(first), "first");
        let second = pool.fill(String::from("second"));
        assert_eq!(
            (std::ptr::from_ref(&*second), &second[..]),
            (address, "second")
        );
        let many: Vec<_> = (0..2 * BOXES_MAX)
            .map(|_| pool.fill(String::new()))
            .collect();
        for filled in many {
            pool.empty(filled);
        }
        assert_eq!(pool.0.len(), BOXES_MAX);
    }
}
