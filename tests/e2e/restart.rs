//! The judge dies in the middle of a rollout: Envoy routes by the last plan, the
//! rollout goes on where it was, and every request is counted exactly once.

use crate::world::{LIMIT, settled, steady, turn};
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::wait;

const ID: &str = "restart";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_counted_twice() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings::default()).await.unwrap();
    lab.judge.create(&steady(ID)).await.unwrap();
    settled(&lab).await.unwrap();
    let load = lab.load(400, 3_000).unwrap();
    lab.judge.converged(ID, 2, LIMIT).await.unwrap();
    lab.judge.act(ID, "promote", "to 25%").await.unwrap();
    wait::until("1,000 requests in the books", LIMIT, async || {
        let status = lab.judge.status(ID).await?;
        let counted = status.traffic_of(CONTROL).exposures + status.traffic_of(CANARY).exposures;
        Ok((counted >= 1_000).then_some(()))
    })
    .await
    .unwrap();
    // Two workers have what was decided, and it is measured how fast.
    let delivered = wait::until("the promotion to be delivered", LIMIT, async || {
        let decisions = lab.judge.decisions(ID).await?;
        Ok(decisions.last().and_then(|last| last.delivered.clone()))
    })
    .await
    .unwrap();
    assert_eq!((delivered.workers, delivered.missing), (2, 0));
    assert!(delivered.first_worker_ms.is_some());
    assert!(delivered.first_worker_ms <= delivered.last_worker_ms);

    for _ in 0..2 {
        lab.judge.kill().await.unwrap();
        let dead = lab.canary.counts().await.unwrap().requests;
        wait::until("canary's users to go on", LIMIT, async || {
            Ok((lab.canary.counts().await?.requests >= dead + 100).then_some(()))
        })
        .await
        .unwrap();
        lab.judge.start().await.unwrap();
        let status = lab.judge.status(ID).await.unwrap();
        assert_eq!((status.phase, status.step), (Phase::Running, 1));
        assert_eq!(status.weight(CANARY), 25.0);
    }

    load.stop();
    wait::until("the books to be whole", LIMIT, async || {
        let status = lab.judge.status(ID).await?;
        for (server, arm) in [(&lab.control, CONTROL), (&lab.canary, CANARY)] {
            let served = server.counts().await?.requests;
            let traffic = status.traffic_of(arm);
            let counted = (traffic.exposures, traffic.finished);
            if counted.0 > served || counted.1 > served {
                return Err(format!("{arm}: {counted:?} counted, {served} served").into());
            }
            if counted != (served, served) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
    let decisions = lab.judge.decisions(ID).await.unwrap();
    let actions: Vec<&str> = decisions
        .iter()
        .map(|decision| decision.action.as_str())
        .collect();
    assert_eq!(actions, ["create", "promote"], "a restart decides nothing");
    assert_eq!(decisions[1].delivered, Some(delivered));
}
