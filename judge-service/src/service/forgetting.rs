//! Taking out of the store what is remembered no more: in small parts and beside the
//! books, since whoever holds them keeps everybody waiting.

use super::Service;
use crate::domain::Millis;
use crate::domain::remembered::{AT_ONCE, Forgotten, Kind, MOST};
use crate::store::StoreError;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two times of looking for what is old.
const PAUSE: Duration = Duration::from_secs(10);

/// What is too much is looked for every so many times: the index is walked for it, which
/// takes tenths of a second where there is a million.
const TOO_MUCH_EVERY: u64 = 60;

/// The store is left alone for so many times as long as a part took.
const PAUSE_TIMES: u32 = 2;

/// Since when there is no more than may be, where there is more.
type Bounds = HashMap<(String, Kind), Millis>;

impl Service {
    /// Never returns.
    pub(super) async fn forget(self: Arc<Self>) {
        let mut bounds = Bounds::new();
        for turn in 0u64.. {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self
                .forget_once(&mut bounds, turn % TOO_MUCH_EVERY == 0)
                .await
            {
                tracing::debug!(%error, "what is remembered no more stays in the store for now");
            }
        }
    }

    async fn forget_once(&self, bounds: &mut Bounds, anew: bool) -> Result<(), StoreError> {
        let now = self.now();
        let books = self.books().await?;
        let entries = books.entries().iter();
        let all: Vec<Forgotten> = entries.flat_map(|entry| entry.forgotten(now)).collect();
        drop(books);
        if anew {
            bounds.clear();
            for Forgotten { rollout, kind, .. } in &all {
                if let Some(since) = self.store.since_most(rollout, *kind, MOST).await? {
                    bounds.insert((rollout.clone(), *kind), since);
                }
            }
        }
        for mut what in all {
            let bound = bounds.get(&(what.rollout.clone(), what.kind));
            what.before_ms = what.before_ms.max(bound.copied().unwrap_or_default());
            while self.there_is_more(self.store.forget(&what)).await? {}
        }
        while self.there_is_more(self.store.forget_deleted()).await? {}
        Ok(())
    }

    async fn there_is_more(
        &self,
        forgetting: impl Future<Output = Result<u64, StoreError>>,
    ) -> Result<bool, StoreError> {
        let began = Instant::now();
        let is_full = forgetting.await? >= u64::from(AT_ONCE);
        if is_full {
            tokio::time::sleep(began.elapsed() * PAUSE_TIMES).await;
        }
        Ok(is_full)
    }
}
