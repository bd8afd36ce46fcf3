//! Several judges with tokens and TLS: whichever is asked, the one that judges knows who
//! asks, and is told nobody's token.

use crate::tls::authority::{Authority, Usage};
use crate::world::{LIMIT, alone};
use reqwest::Method;
use serinus_tests::judge::{Judge, Reply};
use serinus_tests::postgres::Postgres;
use serinus_tests::tokens::Tokens;
use serinus_tests::wait;

struct Judges {
    _folder: tempfile::TempDir,
    leader: Judge,
    follower: Judge,
    tokens: Tokens,
}

impl Judges {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Postgres::shared().await.unwrap().database().await.unwrap();
        let authority = Authority::new();
        let ca = authority.file(folder.path(), "ca.pem");
        let shown = authority.identity(folder.path(), "judge", &["localhost"], Usage::Server);
        let tokens = Tokens::new(folder.path()).unwrap();
        let mut judges = Vec::new();
        for number in 0..2 {
            let own = folder.path().join(format!("judge-{number}"));
            std::fs::create_dir(&own).unwrap();
            let mut judge = Judge::new(&own).unwrap();
            judge.store(&database.url());
            judge.trust(&ca).unwrap();
            judge.token(Some(&tokens.viewer));
            for (name, value) in shown.options() {
                judge.option(name, &value);
            }
            judge.option("--tokens", &tokens.path());
            judge.option("--peer-ca", &ca.display().to_string());
            // At an address that their certificate does not have, as pods are.
            let address = format!("https://127.0.0.1:{}", judge.port());
            judge.option("--advertise", &address);
            judge.option("--peer-name", "localhost");
            judge.start().await.unwrap();
            // One after the other, so that it is known which judges.
            wait::until("a judge to judge", LIMIT, async || {
                let ready = judge.call(Method::GET, "/health/ready", None).await?;
                let role = if number == 0 { "leader" } else { "follower" };
                Ok((ready.body["role"] == role).then_some(()))
            })
            .await
            .unwrap();
            judges.push(judge);
        }
        let [leader, follower] = judges.try_into().ok().unwrap();
        Self {
            _folder: folder,
            leader,
            follower,
            tokens,
        }
    }
}

async fn ask(judge: &Judge, method: Method, path: &str, body: Option<&str>) -> Reply {
    judge.call(method, path, body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_asked_the_one_that_judges_knows_who_asks() {
    let mut judges = Judges::start().await;
    let spec = alone("r").to_string();
    let refused = ask(&judges.follower, Method::POST, "/v1/rollouts", Some(&spec)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let listed = ask(&judges.follower, Method::GET, "/v1/rollouts", None).await;
    assert_eq!(listed.status, 200, "{listed:?}");

    judges.follower.token(Some(&judges.tokens.operator));
    let created = ask(&judges.follower, Method::POST, "/v1/rollouts", Some(&spec)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let session = ask(&judges.follower, Method::GET, "/v1/session", None).await;
    assert_eq!(session.body["name"], "alice");
    for judge in [&judges.leader, &judges.follower] {
        let audit = ask(judge, Method::GET, "/v1/audit", None).await;
        assert_eq!(audit.body[0]["record"]["who"], "alice", "{audit:?}");
        assert_eq!(audit.body[0]["record"]["action"], "create");
    }

    judges.follower.token(None);
    let unknown = ask(&judges.follower, Method::GET, "/v1/rollouts", None).await;
    assert_eq!(unknown.status, 401, "{unknown:?}");
    let samples = ask(&judges.follower, Method::POST, "/v1/samples", Some("{}")).await;
    assert_eq!(samples.status, 401, "{samples:?}");
    judges.follower.token(Some(&judges.tokens.proxy));
    let samples = ask(&judges.follower, Method::POST, "/v1/samples", Some("{}")).await;
    assert_eq!(samples.status, 400, "{samples:?}");
}

/// What one judge says to another is not believed of anybody else.
#[tokio::test]
async fn nobody_passes_for_a_judge() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(folder.path()).unwrap();
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.store(&database.url());
    judge.option("--tokens", &tokens.path());
    judge.start().await.unwrap();
    let claim = "eyJjYWxsZXIiOnsibmFtZSI6Im0iLCJyb2xlIjoib3BlcmF0b3IifSwiYXRfbXMiOjF9";
    for said in ["1", "", claim, &format!("{claim}.AAAA")] {
        let url = format!("{}/v1/rollouts", judge.address());
        let request = reqwest::Client::new().get(url);
        let request = request.header("x-serinus-passed-on", said);
        let answer = request.bearer_auth(&tokens.operator).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{said}");
    }
}
