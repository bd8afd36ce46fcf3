//! Samples that wait for the models. What comes on top is shed and counted; which arm a
//! sample is of does not matter for that.

use super::work::Work;
use crate::service::room::{Place, Room};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const SAMPLES: usize = 4_096;

/// Of all that wait: bodies may be large, and a model may be slow.
const BYTES: usize = 64 * 1024 * 1024;

pub struct Queue {
    samples: SyncSender<Queued>,
    room: Room,
}

pub struct Queued {
    work: Work,
    place: Place,
}

pub fn queue() -> (Queue, Receiver<Queued>) {
    let (samples, queued) = sync_channel(SAMPLES);
    let room = Room::of(BYTES);
    (Queue { samples, room }, queued)
}

impl Queue {
    /// Whether there was room for it.
    pub fn send(&self, work: Work) -> bool {
        let Ok(place) = self.room.take(work.bytes()) else {
            return false;
        };
        self.samples.try_send(Queued { work, place }).is_ok()
    }
}

impl Queued {
    /// The sample, and the place that is its own until it is dropped.
    pub fn apart(self) -> (Work, Place) {
        (self.work, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::models::Kit;
    use serinus_core::sample::Sample;
    use std::sync::Arc;
    use std::time::Instant;

    fn work(bytes: usize) -> Work {
        Work {
            sample: Sample {
                rollout: "r".to_owned(),
                epoch: 1,
                segment: None,
                arm: "a".to_owned(),
                unit: 1,
                request: "x".repeat(bytes),
                response: String::new(),
                request_headers: Vec::new(),
                response_headers: Vec::new(),
            },
            arm: 0,
            kit: Arc::new(Kit::without_models()),
            second: None,
            arrived: Instant::now(),
        }
    }

    #[test]
    fn many_small_ones_wait_and_few_large_ones() {
        let (small, _waiting) = queue();
        let sent = (0..SAMPLES + 1).filter(|_| small.send(work(10))).count();
        assert_eq!(sent, SAMPLES);
        let (large, waiting) = queue();
        let sent = (0..SAMPLES).filter(|_| large.send(work(BYTES / 8))).count();
        assert_eq!(sent, 7);
        drop(waiting.recv().unwrap());
        assert!(large.send(work(BYTES / 8)), "there is room again");
    }
}
