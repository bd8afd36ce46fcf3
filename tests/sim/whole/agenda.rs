//! What is to happen, in the order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

pub struct Agenda<T> {
    due: BinaryHeap<Due<T>>,
    /// Of what is due at the same time, the first that was put down comes first.
    number: u64,
}

struct Due<T> {
    at_us: u64,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub fn new() -> Self {
        Self {
            due: BinaryHeap::new(),
            number: 0,
        }
    }

    pub fn put(&mut self, at_us: u64, what: T) {
        self.number += 1;
        self.due.push(Due {
            at_us,
            number: self.number,
            what,
        });
    }

    /// What is due before a time, if anything is.
    pub fn next_before(&mut self, until_us: u64) -> Option<(u64, T)> {
        if self.due.peek()?.at_us >= until_us {
            return None;
        }
        let Due { at_us, what, .. } = self.due.pop()?;
        Some((at_us, what))
    }
}

// === impl Due: the greatest is due first ===

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |due: &Self| (due.at_us, due.number);
        order(other).cmp(&order(self))
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Due<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first() {
        let mut agenda = Agenda::new();
        for (at_us, what) in [(3, 'c'), (1, 'a'), (3, 'd'), (2, 'b')] {
            agenda.put(at_us, what);
        }
        let before = |until: u64, agenda: &mut Agenda<char>| {
            std::iter::from_fn(|| Some(agenda.next_before(until)?.1)).collect::<String>()
        };
        assert_eq!(before(3, &mut agenda), "ab");
        assert_eq!(before(4, &mut agenda), "cd");
        assert_eq!(before(u64::MAX, &mut agenda), "");
    }
}
