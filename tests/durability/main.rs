//! What the judge promises of reports, decisions and plans, checked by a model: simulated
//! workers, whose network loses, repeats, delays and cuts what they send, against real
//! judges that are killed at any moment. In the end every sum is what the workers were
//! acknowledged, to the bit; every decision that anybody saw is there; and no revision
//! ever went backwards.
//!
//! The judges are programs and the store is theirs, so that the same runs over SQLite
//! and PostgreSQL, and with one judge or several.
//!
//! `SERINUS_SEED` makes the same choices again. When what arrives is still the
//! machine's to say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod books;
mod clock;
mod counts;
mod deeds;
mod history;
mod judges;
mod lab;
mod model;
mod network;
mod storm;
mod worker;

use judges::Judges;
use serinus_tests::postgres::Postgres;
use std::time::Duration;
use storm::Storm;

/// A part of `make test`.
#[tokio::test]
async fn nothing_acknowledged_is_lost_or_counted_twice() {
    let storm = Storm {
        seed: seed(),
        workers: 8,
        lasts: Duration::from_secs(10),
    };
    storm.run(Judges::alone().unwrap()).await.unwrap();
}

/// The same of three on one PostgreSQL, of which some stand still at times.
#[tokio::test]
async fn nothing_is_lost_between_three_judges() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let storm = Storm {
        seed: seed(),
        workers: 8,
        lasts: Duration::from_secs(12),
    };
    let judges = Judges::on(&database.url(), 3);
    storm.run(judges.unwrap()).await.unwrap();
}

/// For `SERINUS_SECONDS` (300), by `SERINUS_JUDGES` (1) on `SERINUS_STORE` (a new file).
#[tokio::test]
#[ignore = "takes minutes; `make soak-durability` runs it"]
async fn nothing_is_lost_for_minutes() {
    let storm = Storm {
        seed: seed(),
        workers: 24,
        lasts: Duration::from_secs(number("SERINUS_SECONDS", 300)),
    };
    let judges = match std::env::var("SERINUS_STORE") {
        Ok(store) => Judges::on(&store, number("SERINUS_JUDGES", 1)),
        Err(_) => Judges::alone(),
    };
    storm.run(judges.unwrap()).await.unwrap();
}

/// A new one each time, since each finds other things.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    number("SERINUS_SEED", now.unwrap().as_millis() as u64)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text}")),
        Err(_) => otherwise,
    }
}
