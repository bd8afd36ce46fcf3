//! What is known of workers' sessions: the last report of each, so that it counts once,
//! and that it is the same when it comes again.

use super::lists;
use crate::domain::sessions::{Heard, SessionName, pack};
use crate::store::SessionsChange;
use foldhash::fast::RandomState;
use serinus_core::report::{Report, SlotRow};
use std::collections::HashMap;

/// Sessions that are remembered, those that were heard last; what is older by the clock
/// alone may still send again, since clocks are set and judges are away for days. A
/// thousand workers that restart every day are as many in half a year.
const KEPT: usize = 200_000;

/// Forgetting writes all that is kept anew, so it waits for so many.
const FORGOTTEN_AT_ONCE: usize = KEPT / 10;

#[derive(Debug, Default)]
pub struct Sessions {
    known: HashMap<SessionName, Session, RandomState>,
    /// Reports that were counted, which orders the sessions.
    heard: u64,
    /// What the store has yet to take, some more than once.
    changed: Vec<SessionName>,
    /// Entries of the store's lists.
    stored: usize,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    /// Of the last report that was counted.
    sequence: u64,
    /// `None` after a restart: it is not stored, since it decides nothing.
    print: Option<Print>,
    heard: u64,
}

/// Tells reports of one name apart that are not the same. Whoever wants two to look alike
/// can do that; a worker that has another's session by accident does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print(u64);

// === impl Sessions ===

impl Sessions {
    /// From the store's lists, oldest first.
    pub fn from_loaded(lists: Vec<Heard>) -> Self {
        let mut sessions = Self {
            stored: lists.len(),
            ..Self::default()
        };
        for (name, sequence) in lists {
            sessions.set(name, sequence, None);
        }
        sessions
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The last report that was counted, or 0.
    pub fn last(&self, name: SessionName) -> u64 {
        self.known.get(&name).map_or(0, |session| session.sequence)
    }

    /// Whether a report has the last one's number and is another.
    pub fn is_another(&self, name: SessionName, sequence: u64, print: Print) -> bool {
        self.known.get(&name).is_some_and(|session| {
            session.sequence == sequence && session.print.is_some_and(|known| known != print)
        })
    }

    pub fn counted(&mut self, name: SessionName, sequence: u64, print: Print) {
        self.set(name, sequence, Some(print));
        self.changed.push(name);
    }

    fn set(&mut self, name: SessionName, sequence: u64, print: Option<Print>) {
        self.heard += 1;
        let session = Session {
            sequence,
            print,
            heard: self.heard,
        };
        self.known.insert(name, session);
    }

    pub fn take_change(&mut self) -> Option<SessionsChange> {
        if self.changed.is_empty() {
            return None;
        }
        let mut changed = core::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        self.stored += changed.len();
        let all = lists::are_due(self.stored, self.known.len())
            || self.known.len() > KEPT + FORGOTTEN_AT_ONCE;
        let bytes = if all {
            let kept = self.forget_oldest();
            self.stored = kept.len();
            pack(kept.into_iter())
        } else {
            pack(changed.into_iter().map(|name| (name, self.last(name))))
        };
        Some(SessionsChange { all, bytes })
    }

    /// What is kept, oldest first.
    fn forget_oldest(&mut self) -> Vec<Heard> {
        let mut all: Vec<_> = self
            .known
            .iter()
            .map(|(&name, session)| (session.heard, name, session.sequence))
            .collect();
        all.sort_unstable();
        let kept = all.split_off(all.len().saturating_sub(KEPT));
        for (_, name, _) in all {
            self.known.remove(&name);
        }
        kept.into_iter()
            .map(|(_, name, sequence)| (name, sequence))
            .collect()
    }
}

// === impl Print ===

impl Print {
    pub fn of(report: &Report) -> Self {
        // FNV-1a over numbers: as good here as over bytes, and a microsecond.
        const START: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut print = START;
        let mut add = |number: u64| print = (print ^ number).wrapping_mul(PRIME);
        for part in &report.rollouts {
            add(part.epoch);
            add(part.new_units.len() as u64);
            add(part.first_errors.len() as u64);
            for arm in &part.arms {
                for &SlotRow(slot, exposures, finished, errors, latency_us, _) in &arm.slots {
                    for number in [u64::from(slot), exposures, finished, errors, latency_us] {
                        add(number);
                    }
                }
            }
        }
        Self(print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sessions::unpack;

    fn name(number: usize) -> SessionName {
        SessionName::read(&format!("{number:032x}")).unwrap()
    }

    /// What a store has after these changes.
    #[derive(Default)]
    struct Stored(Vec<Heard>);

    impl Stored {
        fn take(&mut self, sessions: &mut Sessions) -> bool {
            let Some(SessionsChange { all, bytes }) = sessions.take_change() else {
                return false;
            };
            if all {
                self.0.clear();
            }
            unpack(&bytes, &mut self.0).unwrap();
            all
        }
    }

    #[test]
    fn a_session_keeps_its_last_number() {
        let (mut sessions, mut stored) = (Sessions::default(), Stored::default());
        for sequence in 1..=3 {
            sessions.counted(name(1), sequence, Print(sequence));
            sessions.counted(name(2), sequence + 5, Print(0));
            stored.take(&mut sessions);
        }
        assert!(sessions.is_another(name(1), 3, Print(4)));
        assert!(!sessions.is_another(name(1), 3, Print(3)));
        assert!(!stored.take(&mut sessions), "nothing is new");
        let mut loaded = Sessions::from_loaded(stored.0);
        assert_eq!([1, 2, 3].map(|known| loaded.last(name(known))), [3, 8, 0]);
        assert!(
            !loaded.is_another(name(1), 3, Print(4)),
            "not known any more"
        );
        assert_eq!(loaded.stored, 6);
        assert_eq!(loaded.take_change(), None);
    }

    #[test]
    fn lists_that_repeat_themselves_are_written_anew() {
        let (mut sessions, mut stored) = (Sessions::default(), Stored::default());
        let mut anew = 0;
        for sequence in 1..=25_000 {
            sessions.counted(name(1), sequence, Print(0));
            anew += usize::from(stored.take(&mut sessions));
            assert_eq!(stored.0.len(), sessions.stored);
        }
        assert_eq!(anew, 2);
        assert_eq!(stored.0.last(), Some(&(name(1), 25_000)));
    }

    /// Only their number makes old ones go.
    #[test]
    fn the_oldest_are_forgotten() {
        let (mut sessions, mut stored) = (Sessions::default(), Stored::default());
        let most = KEPT + FORGOTTEN_AT_ONCE;
        for number in 0..most {
            sessions.counted(name(number), 1, Print(0));
        }
        // The first is heard again, after all others.
        sessions.counted(name(0), 2, Print(0));
        assert!(!stored.take(&mut sessions));
        assert_eq!(stored.0.len(), most);
        sessions.counted(name(most), 1, Print(0));
        assert!(stored.take(&mut sessions));
        assert_eq!(stored.0.len(), KEPT);
        for sessions in [sessions, Sessions::from_loaded(stored.0)] {
            assert_eq!(sessions.known.len(), KEPT);
            let gone = most + 1 - KEPT;
            assert_eq!(sessions.last(name(0)), 2);
            assert_eq!(sessions.last(name(gone)), 0);
            assert_eq!(sessions.last(name(gone + 1)), 1);
        }
    }
}
