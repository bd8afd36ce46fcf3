//! Connections that are lent, and thrown away at the first doubt.
//!
//! A pool would keep one whose other end is gone until the operating system gives up,
//! which takes a quarter of an hour. Here an operation that failed, or did not end in
//! its time, takes its connection with it, and the idle ones too.

use crate::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections at most: one writes, the others are for who looks.
const MOST: usize = 6;

/// How long an operation may take. The largest, a decision with its evidence, takes
/// some ten milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(5);

pub struct Connections {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
}

/// Dropped without having been given back, it is closed.
pub struct Lent<'a> {
    connection: PgConnection,
    home: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    pub fn new(options: PgConnectOptions) -> Self {
        // Statements are logged by nobody: an error says what failed.
        let options = options.disable_statement_logging();
        Self {
            options,
            idle: Mutex::default(),
            permits: Semaphore::new(MOST),
        }
    }

    /// Runs an operation that lends connections.
    pub async fn within<T>(
        &self,
        limit: Duration,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = match tokio::time::timeout(limit, operation).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Silent(limit)),
        };
        if result.is_err() {
            // Where one is broken, the others are likely to be.
            self.idle().clear();
        }
        result
    }

    pub async fn lend(&self) -> Result<Lent<'_>, StoreError> {
        // Nobody closes the semaphore.
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connecting = PgConnection::connect_with(&self.options);
                let connected = tokio::time::timeout(PATIENCE, connecting).await;
                connected.map_err(|_| StoreError::Silent(PATIENCE))??
            }
        };
        Ok(Lent {
            connection,
            home: self,
            _permit: permit,
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    /// After an operation that went well.
    pub fn give_back(self) {
        self.home.idle().push(self.connection);
    }
}

impl Deref for Lent<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
