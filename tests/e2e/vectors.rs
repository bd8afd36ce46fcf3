//! The golden vectors through real Envoy; natively they run in `tests/src/vectors`.

use crate::wire::Wire;
use crate::wire::answer::Answer;
use crate::wire::echo::Seen;
use crate::wire::fake_judge::{FakeJudge, Mood};
use crate::wire::http1::{Client, chunked};
use crate::world::{LIMIT, turn};
use serinus_core::report::Report;
use serinus_tests::artefacts;
use serinus_tests::load::Arm;
use serinus_tests::vectors::decisions::{BY_WEIGHTS, Case, Expected, Request, hide_digits};
use serinus_tests::vectors::{assignment, decisions};
use serinus_tests::wait;
use std::collections::{BTreeMap, BTreeSet};

/// What is counted of a rollout's segment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    fallbacks: BTreeMap<String, u64>,
    /// By arm and slot.
    exposures: BTreeMap<(String, u8), u64>,
    units: BTreeSet<String>,
}

type Books = BTreeMap<(String, Option<String>), Counted>;

fn count(books: &mut Books, expected: &Expected) {
    let Some(rollout) = expected.rollout.clone() else {
        return;
    };
    let counted = books
        .entry((rollout, expected.segment.clone()))
        .or_default();
    let (Some(arm), Some(why)) = (expected.arm.clone(), expected.why.clone()) else {
        panic!("no arm: {expected:?}");
    };
    if why == BY_WEIGHTS {
        let place = (arm, expected.slot.unwrap());
        *counted.exposures.entry(place).or_default() += 1;
        counted.units.extend(expected.unit.clone());
    } else {
        *counted.fallbacks.entry(why).or_default() += 1;
    }
}

fn books(reports: &[Report]) -> Books {
    let mut books = Books::new();
    for part in reports.iter().flat_map(|report| &report.rollouts) {
        let counted = books
            .entry((part.rollout.clone(), part.segment.clone()))
            .or_default();
        for (cause, count) in &part.fallbacks {
            *counted
                .fallbacks
                .entry(cause.name().to_owned())
                .or_default() += count;
        }
        for arm in &part.arms {
            for slot in arm.slots.iter().filter(|slot| slot.1 > 0) {
                let place = (arm.arm.clone(), slot.0);
                *counted.exposures.entry(place).or_default() += slot.1;
            }
        }
        let units = part.new_units.iter();
        counted
            .units
            .extend(units.map(|unit| format!("{:016x}", unit.0)));
    }
    books
}

async fn counted(judge: &FakeJudge, expected: &Books) {
    let counted = wait::until("the vectors to be counted", LIMIT, async || {
        Ok((books(&judge.acknowledged()) == *expected).then_some(()))
    });
    if counted.await.is_err() {
        assert_eq!(&books(&judge.acknowledged()), expected);
    }
}

fn bytes(request: &Request) -> Vec<u8> {
    let line = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    let mut bytes = line.into_bytes();
    for (name, value) in request.all_headers() {
        let name = match name.as_str() {
            ":authority" => "host",
            name if name.starts_with(':') => continue,
            name => name,
        };
        bytes.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    if request.chunked {
        let pieces: Vec<&[u8]> = request.body.iter().map(|piece| &*piece.0).collect();
        bytes.extend(chunked(&pieces, ""));
    } else {
        bytes.extend(request.whole_body());
    }
    bytes
}

/// Our routes know canary; all other arms are served by the default route.
fn server_of(arm: Option<&str>) -> Arm {
    match arm {
        Some("canary") => Arm::Canary,
        _ => Arm::Control,
    }
}

/// What a server got, without the shadow's copies, which come when they come.
fn originals(wire: &Wire, arm: Arm, copies: &mut usize) -> Vec<Seen> {
    let seen = wire.server(arm).take_seen();
    let (originals, shadows): (Vec<_>, Vec<_>) = seen.into_iter().partition(|seen| !is_copy(seen));
    *copies += shadows.len();
    originals
}

fn is_copy(seen: &Seen) -> bool {
    Answer::text(&seen.headers, "host").ends_with("-shadow")
}

async fn decide(wire: &Wire, case: &Case, copies: &mut usize) {
    let Case { name, expect, .. } = case;
    let mut client = wire.http1().await;
    client.send(&bytes(&case.request)).await.unwrap();
    let answer = client.answer().await.unwrap();
    let server = server_of(expect.arm.as_deref());
    assert_eq!((answer.status, answer.arm()), (200, Some(server)), "{name}");
    assert!(answer.body == case.request.whole_body(), "{name}");
    let cookie = answer.headers.get("set-cookie");
    let cookie = cookie.map(|cookie| hide_digits(cookie.to_str().unwrap()));
    assert_eq!(cookie, expect.set_cookie, "{name}");
    let seen = originals(wire, server, copies);
    assert_eq!(seen.len(), 1, "{name}");
    let ours = seen[0].headers.iter();
    let ours: BTreeMap<String, String> = ours
        .filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("x-serinus-") && name != "x-serinus-override"
        })
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(ours, expect.request_headers, "{name}");
}

/// Both files in one Envoy, whose plan changes. A worker's open breaker and a judge's
/// silence take time here, and have tests of their own.
#[tokio::test(flavor = "multi_thread")]
async fn golden_vectors() {
    let _turn = turn().await;
    let document = decisions::read().unwrap();
    let assignment = assignment::read().unwrap();
    let plan = |name: &str| Mood::Well(document.plan(name).unwrap().clone());
    let wire = Wire::without_judge(&[]).await;
    let wasm = artefacts::wasm().unwrap();
    let judge = FakeJudge::start(wire.judge.port(), plan(&document.plans[0].name)).await;
    let (mut expected, mut copies, mut wanted_copies) = (Books::new(), 0, 0);
    for (number, named) in document.plans.iter().enumerate() {
        judge.met(plan(&named.name)).await;
        let cases = document
            .decisions
            .iter()
            .filter(|case| case.plan == named.name);
        let (disabled, enabled): (Vec<_>, Vec<_>) = cases
            .filter(|case| case.around.silent_ms == 0 && case.around.tripped.is_none())
            .partition(|case| case.around.disabled);
        for case in enabled {
            decide(&wire, case, &mut copies).await;
            count(&mut expected, &case.expect);
            let shadow = case.expect.request_headers.get("x-serinus-shadow");
            wanted_copies += usize::from(shadow.is_some_and(|cluster| cluster == "shadow"));
        }
        counted(&judge, &expected).await;
        if number == 0 {
            assert!(!disabled.is_empty());
            wire.envoy.set_disabled(true, &wasm).await.unwrap();
            for case in disabled {
                decide(&wire, case, &mut copies).await;
            }
            wire.envoy.set_disabled(false, &wasm).await.unwrap();
        } else {
            assert!(disabled.is_empty(), "they are tried with the first plan");
        }
    }
    wait::until("the shadow's copies", LIMIT, async || {
        // The shadow's cluster is canary's server here.
        originals(&wire, Arm::Canary, &mut copies);
        Ok((copies >= wanted_copies).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(copies, wanted_copies);

    judge
        .met(Mood::Well(assignment.plan(document.plans.len() as u64 + 1)))
        .await;
    let mut client: Option<Client> = None;
    for (number, probe) in assignment.probes().into_iter().enumerate() {
        // Another connection now and then: workers take turns.
        if number % 10 == 0 {
            client = None;
        }
        let client = match &mut client {
            Some(client) => client,
            none => none.insert(wire.http1().await),
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\n\r\n",
            probe.path, probe.host
        );
        client.send(request.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        let server = server_of(Some(&probe.arm));
        assert_eq!(
            (answer.status, answer.arm()),
            (200, Some(server)),
            "{}",
            probe.name
        );
        let seen = wire.server(server).take_seen();
        let arm = Answer::text(&seen[0].headers, "x-serinus-arm");
        assert_eq!(arm, probe.arm, "{}", probe.name);
    }
    wire.vms_live().await.unwrap();
}
