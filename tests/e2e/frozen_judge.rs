//! A judge that stands still, with its connections open: Envoy's health checks move the
//! workers, and the polls that it holds, to another.

use crate::wire::{ID, Wire};
use crate::world::{LIMIT, arm_of, canary_after, keys, settled_by, turn};
use serinus_tests::envoy::Edit;
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::wait;
use std::time::Instant;

/// Another judge in the cluster, before the one that stands there.
fn beside(port: u16) -> Edit {
    const FIRST: &str = "        cluster_name: judge
        endpoints:
          - lb_endpoints:
";
    let both = format!(
        "{FIRST}              - endpoint:
                  address:
                    socket_address: {{ address: 127.0.0.1, port_value: {port} }}
"
    );
    (FIRST, both.leak())
}

/// The second judge begins with the books of the first: two that do not share a database
/// would each outdo the other's plans. What several judges do that do is another test;
/// this is about who is asked.
fn copy_store(from: &Judge, to: &Judge) -> Result<()> {
    for suffix in ["", "-wal"] {
        let name = |judge: &Judge| format!("{}{suffix}", judge.stored_at());
        std::fs::copy(name(from), name(to))?;
    }
    Ok(())
}

async fn healthy(wire: &Wire, judges: u64) {
    let statistic = "cluster.judge.membership_healthy";
    wait::until("Envoy to know which judges are well", LIMIT, async || {
        let healthy = wire.envoy.statistic(statistic).await?;
        Ok((healthy == judges).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_leave_a_frozen_judge_and_nothing_is_lost() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut second = Judge::new(folder.path()).unwrap();
    let mut wire = Wire::start(&[beside(second.port())]).await;
    healthy(&wire, 1).await;
    wire.judge.kill().await.unwrap();
    copy_store(&wire.judge, &second).unwrap();
    wire.judge.start().await.unwrap();
    second.start().await.unwrap();
    healthy(&wire, 2).await;

    wire.judge.process().unwrap().freeze().await.unwrap();
    let frozen = Instant::now();
    second.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&second).await.unwrap();
    let seconds = frozen.elapsed().as_secs_f32();
    println!("every thread had a plan of the other judge after {seconds:.1} s");
    healthy(&wire, 1).await;

    // Reports that go to the frozen one come again, and are counted once.
    let users = keys(60);
    for key in &users {
        let arm = wire.arm_of(key).await.unwrap();
        assert_eq!(arm, arm_of(&canary_after(&[50, 75]), key, ID), "{key}");
    }
    wait::until("all requests to be counted", LIMIT, async || {
        let status = second.status(ID).await?;
        let counted = status.traffic_of(CONTROL).exposures + status.traffic_of(CANARY).exposures;
        if counted > users.len() as u64 {
            return Err(format!("{counted} counted of {}", users.len()).into());
        }
        Ok((counted == users.len() as u64).then_some(()))
    })
    .await
    .unwrap();
    wire.vms_live().await.unwrap();
}
