//! A store that can be opened again, and whose tables can be reached behind its back.

use serinus_judge::store::{Location, Postgres, PostgresUrl, Shared, Sqlite, Store};
use serinus_tests::postgres::{Database, Postgres as Server};
use sqlx::Connection;
use std::path::PathBuf;
use std::sync::Arc;

pub struct Backend {
    place: Place,
    store: Option<Arc<dyn Store>>,
    shared: Option<Arc<dyn Shared>>,
}

enum Place {
    File {
        path: PathBuf,
        _folder: tempfile::TempDir,
    },
    Server(Database),
}

impl Backend {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        Self::open(Place::File {
            path,
            _folder: folder,
        })
        .await
    }

    pub async fn postgres() -> Self {
        Self::open(Place::Server(database().await)).await
    }

    async fn open(place: Place) -> Self {
        let mut backend = Self {
            place,
            store: None,
            shared: None,
        };
        backend.reopen().await;
        backend
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    /// As another process would find it.
    pub async fn reopen(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.give_up().await.unwrap();
        }
        self.store = None;
        match &self.place {
            Place::File { path, .. } => {
                // A connection ends in a thread of its own, and the lock with it.
                self.store = Some(Arc::new(Sqlite::open(path).await.unwrap()));
            }
            Place::Server(database) => {
                let opened = judge(database).await;
                assert!(opened.take_lease("http://here").await.unwrap());
                self.store = Some(Arc::<Postgres>::clone(&opened));
                self.shared = Some(opened);
            }
        }
    }

    /// SQL past the store.
    pub async fn sql(&self, statement: &str) {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        match &self.place {
            Place::File { path, .. } => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::query(statement)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            Place::Server(database) => {
                let mut connection = sqlx::PgConnection::connect(&database.url()).await.unwrap();
                sqlx::query(statement)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }

    /// How this database writes bytes.
    pub fn bytes(&self, hex: &str) -> String {
        match &self.place {
            Place::File { .. } => format!("x'{hex}'"),
            Place::Server(_) => format!("'\\x{hex}'::bytea"),
        }
    }
}

/// A database of a test's own.
pub async fn database() -> Database {
    let server = Server::shared().await.unwrap();
    server.database().await.unwrap()
}

/// A judge's store on it.
pub async fn judge(database: &Database) -> Arc<Postgres> {
    Arc::new(Postgres::open(&url(database)).await.unwrap())
}

fn url(database: &Database) -> PostgresUrl {
    match database.url().parse() {
        Ok(Location::Postgres(url)) => url,
        other => panic!("{other:?}"),
    }
}
