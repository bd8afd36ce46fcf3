//! The fuzzers' checks (`filter/core/fuzz`), on their seeds and on random changes of
//! them. A failure prints the changes, and proptest keeps what leads to them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test says what is wrong by panicking"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::path::Path;

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[derive(Debug, Clone)]
enum Change {
    Insert(Vec<u8>),
    Replace(Vec<u8>),
    Delete(usize),
    /// The bytes that stand there, so often.
    Repeat(usize, usize),
    /// The rest comes from another seed.
    Splice(usize),
}

/// What these formats are made of.
const WORDS: [&[u8]; 44] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e400",
    b"-0.0",
    b"10000",
    b"65536",
    b"18446744073709551616",
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\x90\xa4",
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\n===\n",
    b" ",
    b"/",
    b"~1",
    b"~0",
    b"%",
    b"%41",
    b"+",
    b"&",
    b"=",
    b";",
    b"?",
    b"#",
    b"Bearer ",
    b"e30.",
    b".",
    b"x-user-id: ",
    b"(a|b)*",
];

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let bytes = || {
        prop_oneof![
            3 => prop::sample::select(WORDS.to_vec()).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 1..6),
        ]
    };
    let change = prop_oneof![
        3 => bytes().prop_map(Change::Insert),
        3 => bytes().prop_map(Change::Replace),
        2 => (1usize..40).prop_map(Change::Delete),
        1 => (1usize..40, 1usize..200).prop_map(|(size, times)| Change::Repeat(size, times)),
        1 => (0usize..100).prop_map(Change::Splice),
    ];
    (any::<prop::sample::Index>(), change)
}

fn changed(seeds: &[Vec<u8>], from: usize, changes: Vec<(prop::sample::Index, Change)>) -> Vec<u8> {
    let mut bytes = seeds[from % seeds.len()].clone();
    for (at, change) in changes {
        let at = at.index(bytes.len() + 1);
        let end = |size: usize| (at + size).min(bytes.len());
        match change {
            Change::Insert(new) => drop(bytes.splice(at..at, new)),
            Change::Replace(new) => drop(bytes.splice(at..end(new.len()), new)),
            Change::Delete(size) => drop(bytes.drain(at..end(size))),
            Change::Repeat(size, times) => {
                let piece = bytes[at..end(size)].repeat(times);
                drop(bytes.splice(at..at, piece));
            }
            Change::Splice(other) => {
                let other = &seeds[other % seeds.len()];
                bytes.truncate(at);
                bytes.extend(other.iter().skip(at.min(other.len())));
            }
        }
    }
    bytes
}

fn run(target: &str, cases: u32, check: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        check(seed);
    }
    let persistence = FileFailurePersistence::WithSource("regressions");
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(persistence)),
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(cases)
    };
    proptest!(config, |(from in 0usize..1_000, changes in prop::collection::vec(change(), 0..8))| {
        check(&changed(&seeds, from, changes));
    });
}

#[test]
fn plan() {
    run("plan", 1_500, fuzz::plan);
}

#[test]
fn decide() {
    run("decide", 1_500, fuzz::decide);
}

#[test]
fn json() {
    run("json", 20_000, fuzz::json);
}

#[test]
fn attributes() {
    run("attributes", 20_000, fuzz::attributes);
}

#[test]
fn ledger() {
    run("ledger", 300, fuzz::ledger);
    let events = prop::collection::vec(any::<u8>(), 0..600);
    proptest!(ProptestConfig::with_cases(300), |(events in events)| {
        fuzz::ledger(&events);
    });
}
