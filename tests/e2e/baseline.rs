//! With the judge never started, the module broken or the VM dead, requests are
//! answered by the baseline.

use crate::world::{self, ask, keys, steady, turn};
use serinus_tests::envoy::Envoy;
use serinus_tests::lab::{Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};

/// All of these users are answered, and by control, whatever arm they claim.
async fn all_get_control(lab: &Lab) {
    for key in keys(50) {
        for claim in ["canary", "control", ""] {
            let headers = [(USER_HEADER, key.as_str()), ("x-serinus-arm", claim)];
            assert_eq!(
                ask(lab, &headers).await.unwrap(),
                Arm::Control,
                "{key} {claim}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_validates_the_configurations() {
    for file in ["envoy/envoy.yaml", "envoy/ecds.yaml"] {
        Envoy::validate(file).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_judge_all_get_the_baseline() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings {
        judge: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    all_get_control(&lab).await;
    // And when the judge comes at last, its plan is fetched.
    lab.judge.start().await.unwrap();
    lab.judge.create(&steady("late")).await.unwrap();
    world::settled(&lab).await.unwrap();
    let mut canary = 0;
    for key in keys(200) {
        canary += u32::from(ask(&lab, &[(USER_HEADER, &key)]).await.unwrap() == Arm::Canary);
    }
    assert!(canary > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_broken_module_all_get_the_baseline() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.wasm");
    std::fs::write(&broken, b"\0asm but no module").unwrap();
    let lab = Lab::start(&Settings {
        wasm: Some(broken),
        ..Settings::default()
    })
    .await
    .unwrap();
    lab.judge.create(&steady("broken")).await.unwrap();
    all_get_control(&lab).await;
}

/// A module that starts as the filter does, and traps at the first request.
pub const TRAPS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)
)"#;

#[tokio::test(flavor = "multi_thread")]
async fn with_a_dead_vm_all_get_the_baseline() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let traps = folder.path().join("traps.wasm");
    std::fs::write(&traps, wat::parse_str(TRAPS).unwrap()).unwrap();
    let lab = Lab::start(&Settings {
        wasm: Some(traps),
        ..Settings::default()
    })
    .await
    .unwrap();
    // The request in which a worker's VM dies is lost with it: Envoy answers 503.
    // That is one for each of two workers, and no more.
    let mut lost = 0;
    for key in keys(100) {
        lost += u32::from(ask(&lab, &[(USER_HEADER, &key)]).await.is_err());
    }
    assert!((1..=2).contains(&lost), "{lost}");
    all_get_control(&lab).await;
    let died = lab.envoy.process().log_tail();
    assert!(
        died.contains("Function: proxy_on_request_headers failed"),
        "{died}"
    );
}
