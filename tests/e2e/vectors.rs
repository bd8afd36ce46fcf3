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
use serinus_tests::vectors::assignment::{self, Probe};
use serinus_tests::vectors::decisions::{self, BY_WEIGHTS, Case, Expected, Request, hide_digits};
use serinus_tests::wait;
use std::collections::{BTreeMap, BTreeSet};

/// What is counted of all rollouts, by rollout and segment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Books {
    fallbacks: BTreeMap<(String, Option<String>, String), u64>,
    /// By arm and slot.
    exposures: BTreeMap<(String, Option<String>, String, u8), u64>,
    /// A unit is new once in a rollout, whatever its segment then is.
    units: BTreeSet<(String, String)>,
}

fn count(books: &mut Books, expected: &Expected) {
    let Some(rollout) = expected.rollout.clone() else {
        return;
    };
    let (Some(arm), Some(why)) = (expected.arm.clone(), expected.why.clone()) else {
        panic!("no arm: {expected:?}");
    };
    let segment = expected.segment.clone();
    if why == BY_WEIGHTS {
        let place = (rollout.clone(), segment, arm, expected.slot.unwrap());
        *books.exposures.entry(place).or_default() += 1;
        books
            .units
            .extend(expected.unit.clone().map(|unit| (rollout, unit)));
    } else {
        *books.fallbacks.entry((rollout, segment, why)).or_default() += 1;
    }
}

fn books(reports: &[Report]) -> Books {
    let mut books = Books::default();
    for part in reports.iter().flat_map(|report| &report.rollouts) {
        let (rollout, segment) = (&part.rollout, &part.segment);
        for (cause, count) in &part.fallbacks {
            let why = (rollout.clone(), segment.clone(), cause.name().to_owned());
            *books.fallbacks.entry(why).or_default() += count;
        }
        for arm in &part.arms {
            for slot in arm.slots.iter().filter(|slot| slot.1 > 0) {
                let place = (rollout.clone(), segment.clone(), arm.arm.clone(), slot.0);
                *books.exposures.entry(place).or_default() += slot.1;
            }
        }
        let units = part.new_units.iter();
        let units = units.map(|unit| (rollout.clone(), format!("{:016x}", unit.0)));
        books.units.extend(units);
    }
    books
}

async fn counted(judge: &FakeJudge, expected: &Books) {
    let counted = wait::until("the vectors to be counted", LIMIT, async || {
        let found = books(&judge.acknowledged());
        Ok((found.fallbacks == expected.fallbacks
            && found.exposures == expected.exposures
            && found.units.is_superset(&expected.units))
        .then_some(()))
    });
    if counted.await.is_err() {
        let found = books(&judge.acknowledged());
        assert_eq!(found.fallbacks, expected.fallbacks);
        assert_eq!(found.exposures, expected.exposures);
        panic!("units: {:?} and not {:?}", found.units, expected.units);
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
    let (mut expected, mut copies, mut wanted_copies) = (Books::default(), 0, 0);
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

    let next = document.plans.len() as u64 + 1;
    judge.met(Mood::Well(assignment.plan(next))).await;
    for probes in assignment.probes().chunks(10) {
        // Another connection now and then: workers take turns.
        let mut client = wire.http1().await;
        for probe in probes {
            assign(&wire, &mut client, probe).await;
            let (rollout, segment) = (probe.host.clone(), None);
            match probe.slot {
                Some(slot) => {
                    let place = (rollout, segment, probe.arm.clone(), slot);
                    *expected.exposures.entry(place).or_default() += 1;
                }
                None => {
                    let why = (rollout, segment, "outside".to_owned());
                    *expected.fallbacks.entry(why).or_default() += 1;
                }
            }
        }
    }
    counted(&judge, &expected).await;
    wire.vms_live().await.unwrap();
}

async fn assign(wire: &Wire, client: &mut Client, probe: &Probe) {
    let Probe {
        name,
        host,
        path,
        arm,
        ..
    } = probe;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    client.send(request.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    let server = server_of(Some(arm));
    assert_eq!((answer.status, answer.arm()), (200, Some(server)), "{name}");
    let seen = wire.server(server).take_seen();
    let routed = Answer::text(&seen[0].headers, "x-serinus-arm");
    assert_eq!(routed, arm, "{name}");
}
