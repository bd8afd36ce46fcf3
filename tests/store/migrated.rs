//! Databases that an older judge left; SQLite's is beside its code.

use crate::backend::Backend;
use crate::change::session;

#[tokio::test]
async fn sessions_that_were_rows_of_postgresql_are_kept() {
    let mut backend = Backend::postgres().await;
    for statement in [
        "DROP TABLE session_lists",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
        "CREATE TABLE sessions (
             session TEXT COLLATE \"C\" PRIMARY KEY, sequence BIGINT NOT NULL, seen_ms BIGINT NOT NULL
         )",
        "INSERT INTO sessions VALUES
             (lpad('b', 32, '0'), 9223372036854775807, 9), (lpad('a', 32, '0'), 300, 4)",
    ] {
        backend.sql(statement).await;
    }
    backend.reopen().await;
    let loaded = backend.store().load().await.unwrap();
    let last = i64::MAX.unsigned_abs();
    assert_eq!(loaded.sessions, [(session(10), 300), (session(11), last)]);
}
