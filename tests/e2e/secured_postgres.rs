//! PostgreSQL behind TLS, as managed ones are.

use crate::tls::authority::{Authority, Usage};
use crate::world::{LIMIT, alone};
use serinus_tests::judge::Judge;
use serinus_tests::postgres::Postgres;
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_knows_whose_database_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(&[]).await.unwrap();
    let database = server.database().await.unwrap();
    let authority = Authority::new();
    let shown = authority.identity(server.folder(), "shown", &["localhost"], Usage::Server);
    server
        .shows(&database, &shown.certificate, &shown.key)
        .await
        .unwrap();
    let ca = authority.file(folder.path(), "ca.pem");
    let other = Authority::new().file(folder.path(), "other.pem");
    let url = |host: &str, ca: &std::path::Path| {
        let url = database.url().replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display())
    };

    let mut judge = Judge::new(folder.path()).unwrap();
    judge.store(&url("localhost", &ca));
    judge.start().await.unwrap();
    wait::until("it to judge", LIMIT, async || {
        Ok(judge.create(&alone("r")).await.ok())
    })
    .await
    .unwrap();
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND NOT ssl";
    assert_eq!(server.run(&database, plain).await.unwrap(), "0");
    judge.kill().await.unwrap();

    // Another authority's, and one for another name.
    for (host, ca) in [("localhost", &other), ("127.0.0.1", &ca)] {
        judge.store(&url(host, ca));
        let refused = judge.start().await.unwrap_err().to_string();
        assert!(refused.contains("failed to open postgres://"), "{refused}");
        assert!(refused.to_lowercase().contains("certificate"), "{refused}");
    }
}
