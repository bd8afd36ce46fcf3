//! How much may wait for the next commit. What comes on top is asked to wait outside,
//! where it costs the judge nothing: a worker keeps its report, and counts on behind it.

use super::IngestError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reports' bytes that wait at most: a third of a second of 10,000 reports of 5 KB
/// each.
const ROOM: usize = 16 * 1024 * 1024;

/// Room is given in pieces of this many bytes.
const PIECE: usize = 64;

#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    free: Arc<Semaphore>,
}

/// The place of one report, or of a sample; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _pieces: OwnedSemaphorePermit,
}

impl Room {
    /// For reports.
    pub fn new() -> Self {
        Self::of(ROOM)
    }

    pub fn of(bytes: usize) -> Self {
        Self {
            bytes,
            free: Arc::new(Semaphore::new(bytes / PIECE)),
        }
    }

    /// # Errors
    /// When there is no room now.
    pub fn take(&self, bytes: usize) -> Result<Place, IngestError> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.free).try_acquire_many_owned(pieces);
        let pieces = taken.map_err(|_| IngestError::Busy)?;
        Ok(Place { _pieces: pieces })
    }

    /// Bytes that wait.
    pub fn taken(&self) -> usize {
        self.bytes - (self.free.available_permits() * PIECE).min(self.bytes)
    }

    /// Whether samples are to be shed: they can be done without, and reports cannot.
    pub fn is_scarce(&self) -> bool {
        self.free.available_permits() < self.bytes / PIECE / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_first_and_reports_last() {
        let room = Room::new();
        let half = room.take(ROOM / 2).unwrap();
        assert!(!room.is_scarce());
        let more = room.take(1).unwrap();
        assert!(room.is_scarce(), "reports are still taken");
        assert!(matches!(room.take(ROOM / 2), Err(IngestError::Busy)));
        drop(more);
        let rest = room.take(ROOM / 2).unwrap();
        drop((half, rest));
        assert!(!room.is_scarce());
    }
}
