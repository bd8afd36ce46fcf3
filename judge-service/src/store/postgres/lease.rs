//! Who judges, by the database's time, and what the others tell that one.

use super::connections::PATIENCE;
use super::{NO_LEASE, Postgres, revision_of};
use crate::store::{LEASE, Letter, LetterKind, Outlook, Shared, StoreError};
use async_trait::async_trait;
use serinus_core::plan::Revision;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgListener, types::PgInterval};
use std::sync::atomic::Ordering;
use std::time::Duration;

const CHANNEL: &str = "serinus";

/// Without news, one looks all the same this often: a notification may be lost with
/// its connection.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// A lease that was renewed later than this would be lost anyway.
const RENEWING: Duration = LEASE;

/// To be called in the transaction that has the news: it goes out with the commit.
pub async fn tell(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(connection)
        .await?;
    Ok(())
}

fn lease() -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: LEASE.as_micros() as i64,
    }
}

#[async_trait]
impl Shared for Postgres {
    async fn take_lease(&self, address: &str) -> Result<bool, StoreError> {
        let taking = async {
            let mut lent = self.connections.lend().await?;
            // The clock is read when the row is ours, and not when the wait for it began.
            let row = sqlx::query(
                "INSERT INTO lease (one, token, address, until)
                 VALUES (1, 1, $1, clock_timestamp() + $2)
                 ON CONFLICT (one) DO UPDATE SET token = lease.token + 1,
                     address = excluded.address, until = clock_timestamp() + $2
                 WHERE lease.until < clock_timestamp()
                 RETURNING token",
            )
            .bind(address)
            .bind(lease())
            .fetch_optional(&mut *lent)
            .await?;
            lent.give_back();
            let Some(row) = row else {
                return Ok(false);
            };
            self.token.store(row.try_get("token")?, Ordering::SeqCst);
            Ok(true)
        };
        self.connections.within(PATIENCE, taking).await
    }

    async fn renew(&self) -> Result<bool, StoreError> {
        let renewing = async {
            let mut lent = self.connections.lend().await?;
            // One that was given up is not taken back by a renewal that was under way.
            let row = sqlx::query(
                "UPDATE lease SET until = clock_timestamp() + $2
                 WHERE token = $1 AND until > '-infinity' RETURNING token",
            )
            .bind(self.token())
            .bind(lease())
            .fetch_optional(&mut *lent)
            .await?;
            lent.give_back();
            Ok(row.is_some())
        };
        self.connections.within(RENEWING, renewing).await
    }

    async fn give_up(&self) -> Result<(), StoreError> {
        let token = self.token.swap(NO_LEASE, Ordering::SeqCst);
        let giving = async {
            let mut lent = self.connections.lend().await?;
            sqlx::query("UPDATE lease SET until = '-infinity' WHERE token = $1")
                .bind(token)
                .execute(&mut *lent)
                .await?;
            tell(&mut lent).await?;
            lent.give_back();
            Ok(())
        };
        self.connections.within(PATIENCE, giving).await
    }

    async fn secret(&self) -> Result<Vec<u8>, StoreError> {
        let asking = async {
            let mut lent = self.connections.lend().await?;
            // Two judges may ask at once: one of them makes it.
            sqlx::query("INSERT INTO peers (one, secret) VALUES (1, $1) ON CONFLICT DO NOTHING")
                .bind(random()?)
                .execute(&mut *lent)
                .await?;
            let row = sqlx::query("SELECT secret FROM peers")
                .fetch_one(&mut *lent)
                .await?;
            lent.give_back();
            Ok(row.try_get("secret")?)
        };
        self.connections.within(PATIENCE, asking).await
    }

    async fn outlook(&self) -> Result<Outlook, StoreError> {
        let looking = async {
            let mut lent = self.connections.lend().await?;
            let leader = sqlx::query("SELECT address FROM lease WHERE until > clock_timestamp()")
                .fetch_optional(&mut *lent)
                .await?;
            let revision = sqlx::query("SELECT generation, counter FROM revision")
                .fetch_optional(&mut *lent)
                .await?;
            lent.give_back();
            Ok(Outlook {
                leader: leader.map(|row| row.try_get("address")).transpose()?,
                revision: revision.as_ref().map(revision_of).transpose()?,
            })
        };
        self.connections.within(PATIENCE, looking).await
    }

    async fn published(&self) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        let reading = async {
            let mut lent = self.connections.lend().await?;
            let row = sqlx::query(
                "SELECT generation, counter, plan FROM revision WHERE plan IS NOT NULL",
            )
            .fetch_optional(&mut *lent)
            .await?;
            lent.give_back();
            row.map(|row| Ok((revision_of(&row)?, row.try_get("plan")?)))
                .transpose()
        };
        self.connections.within(PATIENCE, reading).await
    }

    async fn news(&self) -> Result<(), StoreError> {
        let until = tokio::time::Instant::now() + LOOK_ANYWAY;
        let heard = tokio::time::timeout_at(until, self.hear()).await;
        let failed = matches!(heard, Ok(Err(_)));
        if failed {
            *self.listener.lock().await = None;
            // Who asks in a loop is not to ask a database that is away all the time.
            tokio::time::sleep_until(until).await;
        }
        heard.unwrap_or(Ok(()))
    }

    async fn post(&self, letters: &[Letter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        let kinds: Vec<i16> = letters.iter().map(|letter| number(letter.kind)).collect();
        let bodies: Vec<&[u8]> = letters
            .iter()
            .map(|letter| letter.body.as_slice())
            .collect();
        let posting = async {
            let mut lent = self.connections.lend().await?;
            let mut transaction = sqlx::Connection::begin(&mut *lent).await?;
            sqlx::query(
                "INSERT INTO letters (kind, body)
                 SELECT kind, body FROM unnest($1::smallint[], $2::bytea[])
                     WITH ORDINALITY AS posted (kind, body, number) ORDER BY number",
            )
            .bind(&kinds)
            .bind(&bodies)
            .execute(&mut *transaction)
            .await?;
            tell(&mut transaction).await?;
            transaction.commit().await?;
            lent.give_back();
            Ok(())
        };
        self.connections.within(PATIENCE, posting).await
    }

    async fn letters(&self, limit: i64) -> Result<Vec<(i64, Letter)>, StoreError> {
        let reading = async {
            let mut lent = self.connections.lend().await?;
            let rows =
                sqlx::query("SELECT position, kind, body FROM letters ORDER BY position LIMIT $1")
                    .bind(limit)
                    .fetch_all(&mut *lent)
                    .await?;
            lent.give_back();
            rows.iter()
                .map(|row| {
                    let letter = Letter {
                        kind: kind(row.try_get("kind")?)?,
                        body: row.try_get("body")?,
                    };
                    Ok((row.try_get("position")?, letter))
                })
                .collect()
        };
        self.connections.within(PATIENCE, reading).await
    }
}

impl Postgres {
    async fn hear(&self) -> Result<(), StoreError> {
        let mut listener = self.listener.lock().await;
        let Some(heard) = listener.as_mut() else {
            let mut heard = PgListener::connect_with(&self.pool).await?;
            heard.listen(CHANNEL).await?;
            *listener = Some(heard);
            // What was said before is not known: there may be news.
            return Ok(());
        };
        // `None` is a connection that was lost, and what was said meanwhile with it.
        heard.try_recv().await?;
        // One look answers all that was said until now.
        while heard.next_buffered().is_some() {}
        Ok(())
    }
}

fn random() -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Randomness(error.to_string()))?;
    Ok(bytes)
}

fn number(kind: LetterKind) -> i16 {
    match kind {
        LetterKind::Report => 1,
        LetterKind::Heard => 2,
    }
}

fn kind(number: i16) -> Result<LetterKind, StoreError> {
    match number {
        1 => Ok(LetterKind::Report),
        2 => Ok(LetterKind::Heard),
        _ => Err(StoreError::Damaged {
            what: "a letter".to_owned(),
            problem: format!("it is of kind {number}, which this judge does not know"),
        }),
    }
}
