//! The vectors through core, natively; what they say is written from here.

use super::assignment::{self, Assignment};
use super::decisions::{self, BY_WEIGHTS, Case, Decisions, Expected, hide_digits};
use serde::Serialize;
use serde_json::{Value, json};
use serinus_core::allocation::Allocation;
use serinus_core::bucket::place;
use serinus_core::decision::{self, Around, Breakers, Outcome, Placement};
use serinus_core::json::{Tree, read_strict};
use serinus_core::plan::{CompiledPlan, CompiledRollout, Plan, compile};
use serinus_core::request::{self, Body};
use std::collections::BTreeMap;

// === assignment ===

/// MurmurHash3_x86_32 once more, from the description of its author (Austin Appleby,
/// public domain), so that core's is not compared with itself.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |word: u32| {
        word.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut hash = seed;
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    for word in words {
        hash ^= scramble(u32::from_le_bytes(word.try_into().unwrap()));
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let tail = tail.iter().rev();
    hash ^= scramble(tail.fold(0, |word, &byte| word << 8 | u32::from(byte)));
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// Numbers that others publish.
///
/// Source: the table of test vectors by Ian Boyd (stackoverflow.com/a/31929528), which
/// Wikipedia's article on MurmurHash has in part; seed 1 for texts by mmh3 5.3.1.
#[test]
fn the_hash_is_murmur3() {
    for (text, seed, hash) in [
        ("", 0, 0),
        ("", 1, 0x514e_28b7),
        ("", 0xffff_ffff, 0x81f1_6f39),
        ("\0\0\0\0", 0, 0x2362_f9de),
        ("a", 0x9747_b28c, 0x7fa0_9ea6),
        ("aa", 0x9747_b28c, 0x5d21_1726),
        ("aaa", 0x9747_b28c, 0x283e_0130),
        ("aaaa", 0x9747_b28c, 0x5a97_808a),
        ("abcd", 0x9747_b28c, 0xf047_8627),
        ("Hello, world!", 0x9747_b28c, 0x2488_4cba),
        ("ππππππππ", 0x9747_b28c, 0xd580_63c1),
        ("test", 1, 0x99c0_2ae2),
        ("Hello, world!", 1, 0xaa5d_c85b),
        (
            "The quick brown fox jumps over the lazy dog",
            1,
            0x78e6_9e27,
        ),
    ] {
        assert_eq!(murmur3(text.as_bytes(), seed), hash, "{text} {seed:#x}");
        if seed == 1 {
            let place = place(text.as_bytes(), "");
            let bucket = ((u64::from(hash) * 10_000) >> 32) as u16;
            assert_eq!((place.bucket, u32::from(place.slot)), (bucket, hash & 255));
        }
    }
}

/// What [`assignment::Unit`] and [`assignment::Steps`] leave open.
fn assign(document: &Assignment) -> Value {
    let allocations: Vec<Allocation> = document
        .allocations
        .iter()
        .map(|steps| {
            let steps = steps.steps.iter();
            steps.fold(Allocation::whole(0), |allocation, weights| {
                allocation.rebalanced(weights).unwrap()
            })
        })
        .collect();
    let ranges = document.allocations.iter().zip(&allocations);
    let ranges = ranges.map(|(steps, allocation)| {
        let ranges = allocation.ranges().iter();
        let ranges = ranges.map(|range| json!([range.from, range.to, steps.arms[range.arm]]));
        json!({"ranges": ranges.collect::<Vec<_>>()})
    });
    let units = document.units.iter().map(|unit| {
        let hash = murmur3(&[&unit.unit.0, unit.salt.as_bytes()].concat(), 1);
        let place = place(&unit.unit.0, &unit.salt);
        let arms = document.allocations.iter().zip(&allocations);
        let arms: BTreeMap<_, _> = arms
            .map(|(steps, allocation)| {
                let arm = allocation.arm(place.bucket);
                (&steps.name, arm.map(|arm| &steps.arms[arm]))
            })
            .collect();
        json!({"hash": hash, "bucket": place.bucket, "slot": place.slot, "arms": arms})
    });
    json!({"allocations": ranges.collect::<Vec<_>>(), "units": units.collect::<Vec<_>>()})
}

#[test]
fn assignments() {
    let document = assignment::read().unwrap();
    let found = assign(&document);
    if blessing() {
        bless(assignment::FILE, &["allocations", "units"], &found);
        return;
    }
    for (steps, found) in document
        .allocations
        .iter()
        .zip(found["allocations"].as_array().unwrap())
    {
        assert_eq!(found, &json!({"ranges": steps.ranges}), "{}", steps.name);
    }
    for (unit, found) in document
        .units
        .iter()
        .zip(found["units"].as_array().unwrap())
    {
        let expected = json!({
            "hash": unit.hash, "bucket": unit.bucket, "slot": unit.slot, "arms": unit.arms,
        });
        assert_eq!(found, &expected, "{}", unit.name);
        let bucket = ((u64::from(unit.hash) * 10_000) >> 32) as u16;
        assert_eq!((bucket, unit.hash as u8), (unit.bucket, unit.slot));
    }
}

// === decisions ===

/// A request as the filter shows it to core: with its headers first, and again with
/// its body if that is wanted and can be had.
struct Sent<'a> {
    headers: &'a [(String, Vec<u8>)],
    body: Body<'a>,
}

impl request::Request for Sent<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    fn body(&self) -> Body<'_> {
        self.body
    }
}

struct Tripped<'a>(Option<&'a str>);

impl Breakers for Tripped<'_> {
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize> {
        rollout
            .arms
            .iter()
            .position(|arm| Some(arm.as_str()) == self.0)
    }
}

fn decide(plan: &CompiledPlan, case: &Case) -> Expected {
    if case.around.disabled {
        return Expected::default();
    }
    let headers = case.request.all_headers();
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map_or(&b""[..], |(_, value)| value)
    };
    let around = Around {
        point: None,
        breakers: &Tripped(case.around.tripped.as_deref()),
        silent_us: case.around.silent_ms * 1_000,
        random: &|| Some([0xab; 16]),
    };
    let ask = |body| {
        let headers = &headers;
        decision::decide(plan, &Sent { headers, body }, &around)
    };
    // As in filter/src/request.rs.
    let is_holdable = !case.request.body.is_empty()
        && matches!(header("content-encoding"), b"" | b"identity")
        && !header("content-type").starts_with(b"application/grpc");
    let first = ask(if is_holdable {
        Body::Pending
    } else {
        Body::Unreadable
    });
    let bytes = case.request.whole_body();
    let (held, outcome) = match first {
        Outcome::NeedsBody { at_most } if bytes.len() <= at_most => {
            (true, ask(Body::Whole(&bytes)))
        }
        // One that announces its length is never held.
        Outcome::NeedsBody { .. } => (case.request.chunked, ask(Body::Unreadable)),
        other => (false, other),
    };
    match outcome {
        Outcome::Untouched | Outcome::Elsewhere => Expected::default(),
        Outcome::NeedsBody { .. } => panic!("{}: asks for a body twice", case.name),
        Outcome::Decided(decided) => expected(&decided, held),
    }
}

fn expected(decided: &decision::Decision, held: bool) -> Expected {
    let rollout = &decided.rollout;
    let arm = rollout.arm_name(decided.arm).to_owned();
    let mut request_headers = BTreeMap::from([("x-serinus-arm".to_owned(), arm.clone())]);
    if let Some(shadow) = rollout.shadow.as_ref().filter(|_| decided.shadow) {
        request_headers.insert("x-serinus-shadow".to_owned(), shadow.cluster.clone());
    }
    let (why, unit, slot) = match decided.placement {
        Placement::Randomised { unit, slot } => {
            (BY_WEIGHTS, Some(format!("{unit:016x}")), Some(slot))
        }
        Placement::Fallback(cause) => (cause.name(), None, None),
    };
    Expected {
        rollout: Some(rollout.id.to_string()),
        segment: rollout.segment_name(decided.segment).map(str::to_owned),
        arm: Some(arm),
        why: Some(why.to_owned()),
        unit,
        slot,
        held,
        request_headers,
        set_cookie: decided.set_cookie.as_deref().map(hide_digits),
    }
}

fn compiled(document: &Decisions, name: &str) -> CompiledPlan {
    let bytes = serde_json::to_vec(document.plan(name).unwrap()).unwrap();
    let plan = read_strict::<Plan>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    compile(&plan).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn decisions() {
    let document = decisions::read().unwrap();
    let found: Vec<Expected> = document
        .decisions
        .iter()
        .map(|case| decide(&compiled(&document, &case.plan), case))
        .collect();
    if blessing() {
        let found: Vec<_> = found
            .iter()
            .map(|expect| BTreeMap::from([("expect", expect)]))
            .collect();
        let found = BTreeMap::from([("decisions", found)]);
        bless(decisions::FILE, &["decisions"], &found);
        return;
    }
    for (case, found) in document.decisions.iter().zip(&found) {
        assert_eq!(found, &case.expect, "{}", case.name);
    }
}

/// Each says something of its own, and nothing is left out.
#[test]
fn decisions_cover_what_there_is() {
    if blessing() {
        return;
    }
    let document = decisions::read().unwrap();
    let mut names: Vec<&str> = document.decisions.iter().map(|case| &*case.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands there twice");
    assert!(count >= 60, "{count}");
    let decided = |why: &str| {
        let whys = document.decisions.iter().map(|case| &case.expect.why);
        whys.filter(|found| found.as_deref() == Some(why)).count()
    };
    for cause in decision::Fallback::ALL {
        assert!(decided(cause.name()) > 0, "no decision by {}", cause.name());
    }
    assert!(decided(BY_WEIGHTS) > 20);
    let rollouts = document.plans.iter().flat_map(|plan| {
        let rollouts = plan.plan["rollouts"].as_array().unwrap();
        rollouts
            .iter()
            .map(|rollout| rollout["id"].as_str().unwrap())
    });
    for id in rollouts {
        let mut cases = document.decisions.iter();
        assert!(
            cases.any(|case| case.expect.rollout.as_deref() == Some(id)),
            "no decision of {id}"
        );
    }
}

// === bless ===

fn blessing() -> bool {
    let blessing = std::env::var_os("SERINUS_BLESS").is_some_and(|value| value == "1");
    assert!(
        !(blessing && std::env::var_os("CI").is_some()),
        "on a CI machine nobody reads what is blessed"
    );
    blessing
}

/// Sets the fields of `found`, element by element, in the file's lists, and leaves
/// the rest as it was written.
fn bless(file: &str, lists: &[&str], found: &impl Serialize) {
    let path = super::path(file);
    let mut document = Tree::parse(&std::fs::read(&path).unwrap()).unwrap();
    let mut found = Tree::parse(&serde_json::to_vec(found).unwrap()).unwrap();
    for name in lists {
        let elements = list(&mut document, name).iter_mut();
        for (element, found) in elements.zip(list(&mut found, name)) {
            let (Tree::Object(fields), Tree::Object(found)) = (element, found) else {
                panic!("an element of {name} is no object");
            };
            for (name, value) in found.drain(..) {
                fields.retain(|(known, _)| *known != name);
                fields.push((name, value));
            }
        }
    }
    let text = laid_out(&document, 0) + "\n";
    // By rename: another test may be reading.
    let next = path.with_extension("new");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn list<'a>(tree: &'a mut Tree, name: &str) -> &'a mut Vec<Tree> {
    let Tree::Object(fields) = tree else {
        panic!("the document is no object");
    };
    let mut fields = fields.iter_mut();
    match fields.find(|(known, _)| known == name) {
        Some((_, Tree::List(list))) => list,
        _ => panic!("{name} is no list"),
    }
}

/// What fits stands on one line.
fn laid_out(tree: &Tree, indent: usize) -> String {
    const WIDTH: usize = 110;
    let line = on_one_line(tree);
    if line.len() + indent <= WIDTH {
        return line;
    }
    let (open, close, parts): (_, _, Vec<String>) = match tree {
        Tree::List(list) => {
            let parts = list.iter().map(|element| laid_out(element, indent + 2));
            ('[', ']', parts.collect())
        }
        Tree::Object(fields) => {
            let parts = fields.iter().map(|(name, value)| {
                let name = text(name);
                format!("{name}: {}", laid_out(value, indent + 2))
            });
            ('{', '}', parts.collect())
        }
        _ => return line,
    };
    let (inner, outer) = (" ".repeat(indent + 2), " ".repeat(indent));
    let parts = parts.join(&format!(",\n{inner}"));
    format!("{open}\n{inner}{parts}\n{outer}{close}")
}

fn on_one_line(tree: &Tree) -> String {
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(truth) => truth.to_string(),
        Tree::Number(number) => number.to_string(),
        Tree::Text(value) => text(value),
        Tree::List(list) => {
            let parts: Vec<_> = list.iter().map(on_one_line).collect();
            format!("[{}]", parts.join(", "))
        }
        Tree::Object(fields) => {
            let parts = fields.iter();
            let parts =
                parts.map(|(name, value)| format!("{}: {}", text(name), on_one_line(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}
