//! Users, and how they differ.

use super::BASE;
use crate::draw::Draw;

/// Every twentieth user may be frail.
const FRAIL_EVERY: u32 = 20;

#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Control's error rate over all users but the hog, in calm weather.
    pub base: f64,
    /// Users, without the hog; 0 for as many as there are requests.
    pub users: u32,
    pub unit: Unit,
    /// The error rate of every twentieth user; the others have what makes the mean
    /// the base. `None` for users who are alike.
    pub frail: Option<f64>,
    /// One unit with a good part of all requests.
    pub hog: Option<Hog>,
    /// Users come one after the other, all of them in each so many-th of the time; 0
    /// for all of them at any time.
    pub visits: u32,
}

/// What is assigned to an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    User,
    /// Every request is its own user.
    Request,
}

#[derive(Clone, Copy, Debug)]
pub struct Hog {
    /// Its share of all requests.
    pub traffic: f64,
    pub rate: f64,
}

/// Users of one kind: the hog, the frail, the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Class {
    pub traffic: f64,
    pub rate: f64,
}

const HOG: usize = 0;
const FRAIL: usize = 1;

impl Crowd {
    pub const ALIKE: Crowd = Crowd {
        base: BASE,
        users: 20_000,
        unit: Unit::User,
        frail: None,
        hog: None,
        visits: 0,
    };

    pub(crate) fn classes(&self) -> [Class; 3] {
        let hog = self.hog.map_or(Class::default(), |hog| Class {
            traffic: hog.traffic,
            rate: hog.rate,
        });
        let rest = 1.0 - hog.traffic;
        let part = 1.0 / f64::from(FRAIL_EVERY);
        match self.frail {
            None => [
                hog,
                Class::default(),
                Class {
                    traffic: rest,
                    rate: self.base,
                },
            ],
            Some(rate) => {
                let sturdy = (self.base - part * rate) / (1.0 - part);
                let frail = Class {
                    traffic: rest * part,
                    rate,
                };
                let sturdy = Class {
                    traffic: rest * (1.0 - part),
                    rate: sturdy,
                };
                [hog, frail, sturdy]
            }
        }
    }

    /// Where each user falls, uniform in [0, 1); the hog last.
    pub(super) fn buckets(&self, draw: &mut Draw) -> Vec<f64> {
        if self.unit == Unit::Request || self.users == 0 {
            return Vec::new();
        }
        (0..=self.users).map(|_| draw.uniform()).collect()
    }

    /// Canary's share of requests, when its share of users should be `share`.
    pub(super) fn share(&self, buckets: &[f64], share: f64) -> f64 {
        let Some((hog, users)) = buckets.split_last() else {
            return share;
        };
        let inside = users.iter().filter(|&&bucket| bucket < share).count() as f64;
        let traffic = self.hog.map_or(0.0, |hog| hog.traffic);
        let of_hog = if *hog < share { traffic } else { 0.0 };
        of_hog + (1.0 - traffic) * inside / users.len().max(1) as f64
    }

    /// A user of a class at a time between 0 and 1; `None` where users are requests.
    pub(super) fn user(&self, class: usize, time: f64, draw: &mut Draw) -> Option<u32> {
        if self.unit == Unit::Request || self.users == 0 {
            return None;
        }
        if class == HOG && self.hog.is_some() {
            return Some(self.users);
        }
        let (start, window) = self.present(time);
        let place = match (self.frail, class) {
            (None, _) => draw.below(window),
            (Some(_), FRAIL) => FRAIL_EVERY * draw.below(window / FRAIL_EVERY),
            (Some(_), _) => {
                // The k-th user who is not frail: one is left out of every twenty.
                let k = draw.below(window / FRAIL_EVERY * (FRAIL_EVERY - 1));
                k + k / (FRAIL_EVERY - 1) + 1
            }
        };
        Some((start + place) % self.users)
    }

    /// The first user who is present, and how many are.
    fn present(&self, time: f64) -> (u32, u32) {
        if self.visits == 0 {
            return (0, self.users);
        }
        let round = (time * f64::from(self.visits)).fract();
        let start = (round * f64::from(self.users)) as u32;
        // Whole twenties, so that the frail keep their places.
        (start - start % FRAIL_EVERY, self.users / FRAIL_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_twentieth_user_is_frail_and_the_mean_stays() {
        let crowd = Crowd {
            frail: Some(0.15),
            ..Crowd::ALIKE
        };
        let mean: f64 = crowd
            .classes()
            .iter()
            .map(|class| class.traffic * class.rate)
            .sum();
        assert!((mean - BASE).abs() < 1e-12);
        let mut draw = Draw::new(1, "crowd", 0);
        for time in [0.0, 0.3, 0.999] {
            for visits in [0, 4] {
                let crowd = Crowd { visits, ..crowd };
                for _ in 0..500 {
                    let frail = crowd.user(FRAIL, time, &mut draw).unwrap();
                    let sturdy = crowd.user(2, time, &mut draw).unwrap();
                    assert!(frail.is_multiple_of(20) && frail < crowd.users);
                    assert!(!sturdy.is_multiple_of(20) && sturdy < crowd.users);
                }
            }
        }
    }
}
