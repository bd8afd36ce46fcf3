//! The operator's kill switch overrides any plan, with the judge dead.

use crate::world::{ask, keys, settled, steady, turn};
use serinus_tests::artefacts;
use serinus_tests::lab::{Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};

async fn in_canary(lab: &Lab) -> usize {
    let mut canary = 0;
    for key in keys(200) {
        canary += usize::from(ask(lab, &[(USER_HEADER, &key)]).await.unwrap() == Arm::Canary);
    }
    canary
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_takes_all_users_back_and_enabled_puts_them_where_they_were() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings::default()).await.unwrap();
    lab.judge.create(&steady("switch")).await.unwrap();
    settled(&lab).await.unwrap();
    let before = in_canary(&lab).await;
    assert!(before > 0);
    lab.judge.kill().await.unwrap();
    let wasm = artefacts::wasm().unwrap();
    lab.envoy.set_disabled(true, &wasm).await.unwrap();
    assert_eq!(in_canary(&lab).await, 0);
    // The plan outlives the root contexts that came and went.
    lab.envoy.set_disabled(false, &wasm).await.unwrap();
    assert_eq!(in_canary(&lab).await, before);
}
