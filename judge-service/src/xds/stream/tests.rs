//! The protocol as tables: what comes in, and all that follows from it.

use super::*;

const NAME: &str = "serinus";

/// What comes in, in the notation of [`Table`].
enum In {
    /// A state-of-the-world request.
    All(&'static str, &'static str, &'static str),
    AllRefusing(&'static str, &'static str, &'static str, &'static str),
    /// A delta request: what it subscribes to, and the nonce that it answers.
    More(&'static str, &'static str),
    MoreRefusing(&'static str, &'static str, &'static str),
    Less(&'static str),
    /// The first request of a proxy that comes back with these versions.
    Back(&'static str, &'static [(&'static str, &'static str)]),
    /// The plan changes to this version.
    Plan(&'static str),
}
use In::*;

/// Each input with the responses (`nonce: name@version` or `nonce: -name`) and with what
/// is learned (`has v1`, `refuses v1: why`).
type Table<'a> = &'a [(In, &'a [&'a str])];

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// Names the proxy in every request but for those after the first.
fn request(stream: &Stream, ask: Ask, nonce: &str, refusal: Option<&str>) -> Request {
    Request {
        node: stream.node().is_none().then(|| "envoy-1".to_owned()),
        type_url: TYPE_URL.to_owned(),
        ask,
        nonce: nonce.to_owned(),
        refusal: refusal.map(str::to_owned),
    }
}

fn all(names: &str, version: &str) -> Ask {
    Ask::All {
        names: words(names),
        version: version.to_owned(),
    }
}

fn changes(subscribe: &str, unsubscribe: &str, known: &[(&str, &str)]) -> Ask {
    Ask::Changes {
        subscribe: words(subscribe),
        unsubscribe: words(unsubscribe),
        known: known
            .iter()
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect(),
    }
}

fn shown(response: &Response, version: &str) -> String {
    match &response.what {
        What::Offered => format!("{}: {NAME}@{version}", response.nonce),
        What::Absent(names) => format!("{}: -{}", response.nonce, names.join(" -")),
    }
}

/// Runs a table against a stream of its own, from version `v1` on.
fn check(what: &str, table: Table<'_>) {
    let mut stream = Stream::default();
    let mut version = "v1";
    for (row, (input, expected)) in table.iter().enumerate() {
        let offer = |version| Offer {
            name: NAME,
            version,
        };
        let asked = match *input {
            All(names, version, nonce) => Some((all(names, version), nonce, None)),
            AllRefusing(names, version, nonce, why) => {
                Some((all(names, version), nonce, Some(why)))
            }
            More(names, nonce) => Some((changes(names, "", &[]), nonce, None)),
            MoreRefusing(names, nonce, why) => Some((changes(names, "", &[]), nonce, Some(why))),
            Less(names) => Some((changes("", names, &[]), "", None)),
            Back(names, known) => Some((changes(names, "", known), "", None)),
            Plan(next) => {
                version = next;
                None
            }
        };
        let found: Vec<String> = match asked {
            None => {
                let response = stream.changed(offer(version));
                response.iter().map(|it| shown(it, version)).collect()
            }
            Some((ask, nonce, refusal)) => {
                let request = request(&stream, ask, nonce, refusal);
                let step = stream.request(request, offer(version)).unwrap();
                let learned = step.learned.iter().map(|learned| match learned {
                    Learned::Accepted { version } => format!("has {version}"),
                    Learned::Refused { version, why } => format!("refuses {version}: {why}"),
                });
                let responses = step.responses.iter().map(|it| shown(it, version));
                responses.chain(learned).collect()
            }
        };
        assert_eq!(found, *expected, "{what}, row {row}");
    }
}

#[test]
fn state_of_the_world() {
    check(
        "accepted and changed",
        &[
            (All("serinus", "", ""), &["1: serinus@v1"]),
            (All("serinus", "v1", "1"), &["has v1"]),
            // Told once, though the same request may come again.
            (All("serinus", "v1", "1"), &[]),
            (Plan("v1"), &[]),
            (Plan("v2"), &["2: serinus@v2"]),
            (All("serinus", "v2", "2"), &["has v2"]),
        ],
    );
    check(
        "refused: the same is not sent again, the next one is",
        &[
            (All("serinus", "", ""), &["1: serinus@v1"]),
            (All("serinus", "v1", "1"), &["has v1"]),
            (Plan("v2"), &["2: serinus@v2"]),
            (
                AllRefusing("serinus", "v1", "2", "no such arm"),
                &["refuses v2: no such arm"],
            ),
            (All("serinus", "v1", "2"), &[]),
            (Plan("v2"), &[]),
            (Plan("v3"), &["3: serinus@v3"]),
            (All("serinus", "v3", "3"), &["has v3"]),
        ],
    );
    check(
        "what crosses with a newer response is stale, names and all",
        &[
            (All("serinus", "", ""), &["1: serinus@v1"]),
            (Plan("v2"), &["2: serinus@v2"]),
            (All("", "v1", "1"), &[]),
            (AllRefusing("serinus", "", "1", "late"), &[]),
            (Plan("v3"), &["3: serinus@v3"]),
            (All("serinus", "v3", "3"), &["has v3"]),
            (All("serinus", "v3", "77"), &[]),
        ],
    );
    check(
        "wanted no longer, and again: sent though it is unchanged",
        &[
            (All("serinus", "", ""), &["1: serinus@v1"]),
            (All("serinus", "v1", "1"), &["has v1"]),
            (All("other", "v1", "1"), &[]),
            (Plan("v2"), &[]),
            (All("other serinus", "v1", "1"), &["2: serinus@v2"]),
            (All("serinus other", "v2", "2"), &["has v2"]),
        ],
    );
    check(
        "back with the version that is out: nothing to send until the next",
        &[
            (All("serinus", "v1", ""), &["has v1"]),
            (Plan("v1"), &[]),
            (Plan("v2"), &["1: serinus@v2"]),
            (All("serinus", "v2", "1"), &["has v2"]),
        ],
    );
    check(
        "back with another version, or with another judge's nonce",
        &[
            (All("serinus", "v0", "9"), &["1: serinus@v1", "has v0"]),
            (All("serinus", "v1", "1"), &["has v1"]),
        ],
    );
    check(
        "unknown names, or none: nothing is said of them",
        &[
            (All("other", "", ""), &[]),
            (Plan("v2"), &[]),
            (All("", "", ""), &[]),
            (All("other serinus", "", ""), &["1: serinus@v2"]),
        ],
    );
}

#[test]
fn delta() {
    check(
        "accepted and changed",
        &[
            (More("serinus", ""), &["1: serinus@v1"]),
            (More("", "1"), &["has v1"]),
            (More("", "1"), &[]),
            (Plan("v1"), &[]),
            (Plan("v2"), &["2: serinus@v2"]),
            (More("", "2"), &["has v2"]),
        ],
    );
    check(
        "refused: the same is not sent again, the next one is",
        &[
            (More("serinus", ""), &["1: serinus@v1"]),
            (
                MoreRefusing("", "1", "no such arm"),
                &["refuses v1: no such arm"],
            ),
            (Plan("v1"), &[]),
            (Plan("v2"), &["2: serinus@v2"]),
            (More("", "2"), &["has v2"]),
        ],
    );
    check(
        "two on their way are answered each, and a stale nonce teaches nothing",
        &[
            (More("serinus", ""), &["1: serinus@v1"]),
            (Plan("v2"), &["2: serinus@v2"]),
            (MoreRefusing("", "1", "late"), &["refuses v1: late"]),
            (More("", "2"), &["has v2"]),
            (MoreRefusing("", "1", "later"), &[]),
            (More("", "77"), &[]),
        ],
    );
    check(
        "what is subscribed to with a stale nonce is subscribed to",
        &[
            (More("other", ""), &["1: -other"]),
            (More("serinus", "77"), &["2: serinus@v1"]),
            (Plan("v2"), &["3: serinus@v2"]),
        ],
    );
    check(
        "each subscription is answered, one that stands too",
        &[
            (More("serinus", ""), &["1: serinus@v1"]),
            (More("serinus", "1"), &["2: serinus@v1", "has v1"]),
            (Less("serinus"), &[]),
            (Plan("v2"), &[]),
            (More("serinus", "2"), &["3: serinus@v2", "has v1"]),
        ],
    );
    check(
        "back with the version that is out: nothing to send until the next",
        &[
            (Back("serinus", &[("serinus", "v1")]), &["has v1"]),
            (Plan("v1"), &[]),
            (Plan("v2"), &["1: serinus@v2"]),
            (More("", "1"), &["has v2"]),
            // On the first request only.
            (Back("serinus", &[("serinus", "v2")]), &["2: serinus@v2"]),
        ],
    );
    check(
        "back with another version, and with what is there no longer",
        &[
            (
                Back("serinus old", &[("serinus", "v0"), ("old", "v7")]),
                &["1: serinus@v1", "2: -old", "has v0"],
            ),
            (More("", "2"), &[]),
            (More("", "1"), &["has v1"]),
        ],
    );
    check(
        "unknown names are said to be absent",
        &[
            (More("other another", ""), &["1: -another -other"]),
            (MoreRefusing("", "1", "whatever"), &[]),
            (Plan("v2"), &[]),
            (More("other", ""), &["2: -other"]),
        ],
    );
}

#[test]
fn proxies_at_different_versions_are_each_told_what_they_lack() {
    let offer = |version| Offer {
        name: NAME,
        version,
    };
    let mut streams: Vec<Stream> = Vec::new();
    for (number, known) in [("v1", false), ("v2", true), ("v3", true)]
        .into_iter()
        .enumerate()
    {
        let (version, has_it) = known;
        let mut stream = Stream::default();
        let known = [(NAME, version)];
        let ask = changes(NAME, "", if has_it { &known[..] } else { &[] });
        let mut request = request(&stream, ask, "", None);
        request.node = Some(format!("envoy-{number}"));
        let step = stream.request(request, offer("v2")).unwrap();
        assert_eq!(step.responses.len(), usize::from(version != "v2"));
        streams.push(stream);
    }
    let told = |streams: &mut [Stream], version| -> Vec<bool> {
        streams
            .iter_mut()
            .map(|stream| stream.changed(offer(version)).is_some())
            .collect()
    };
    assert_eq!(told(&mut streams, "v2"), [false, false, false]);
    assert_eq!(told(&mut streams, "v4"), [true, true, true]);
    assert_eq!(told(&mut streams, "v4"), [false, false, false]);
}

#[test]
fn a_proxy_that_never_answers_is_told_all_the_same_and_remembered_within_bounds() {
    let mut stream = Stream::default();
    let first = request(&stream, changes(NAME, "", &[]), "", None);
    let versions: Vec<String> = (0..1_000).map(|number| format!("v{number}")).collect();
    let mut offers = versions.iter().map(|version| Offer {
        name: NAME,
        version,
    });
    stream.request(first, offers.next().unwrap()).unwrap();
    for offer in offers {
        assert!(stream.changed(offer).is_some());
    }
    assert_eq!(stream.awaited.len(), MOST_AWAITED);
}

#[test]
fn what_is_no_request_is_refused_with_its_field() {
    let long = "n".repeat(10_000);
    let many = (0..300).map(|number| format!("name-{number}"));
    let many: Vec<String> = many.collect();
    let good = request(&Stream::default(), changes(NAME, "", &[]), "", None);
    let subscribed = |names: Vec<String>| Request {
        ask: Ask::Changes {
            subscribe: names,
            unsubscribe: Vec::new(),
            known: BTreeMap::new(),
        },
        ..good.clone()
    };
    let named = |node: Option<&str>| Request {
        node: node.map(str::to_owned),
        ..good.clone()
    };
    let typed = |type_url: &str| Request {
        type_url: type_url.to_owned(),
        ..good.clone()
    };
    let garbage = format!(
        "type_url: `{}` is not served here; type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig is",
        "\u{fffd}\0".repeat(32)
    );
    for (bad, error) in [
        (
            named(None),
            "node.id: is missing in the first request; name the proxy",
        ),
        (named(Some("")), "node.id: has 0 bytes; 1 to 256 are right"),
        (
            named(Some(&long)),
            "node.id: has 10000 bytes; 1 to 256 are right",
        ),
        (
            typed("type.googleapis.com/envoy.config.cluster.v3.Cluster"),
            "type_url: `type.googleapis.com/envoy.config.cluster.v3.Cluster` is not served here; type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig is",
        ),
        (typed(&"\u{fffd}\0".repeat(40)), garbage.as_str()),
        (
            subscribed(many.clone()),
            "resource_names_subscribe: 300 names; 64 in one stream are the most",
        ),
        (
            Request {
                ask: Ask::All {
                    names: many.clone(),
                    version: String::new(),
                },
                ..good.clone()
            },
            "resource_names: 300 names; 64 in one stream are the most",
        ),
        (
            subscribed(vec![long.clone()]),
            "resource_names_subscribe: a name has 10000 bytes; 256 are the most",
        ),
        (
            subscribed(vec!["*".to_owned()]),
            "resource_names_subscribe: there is no wildcard; name the filter",
        ),
    ] {
        let offer = Offer {
            name: NAME,
            version: "v1",
        };
        let found = Stream::default().request(bad, offer).unwrap_err();
        assert_eq!(found.to_string(), error);
    }
}

#[test]
fn a_stream_is_one_proxys_and_wants_so_much_in_all() {
    let offer = Offer {
        name: NAME,
        version: "v1",
    };
    let mut stream = Stream::default();
    let first = request(&stream, changes(NAME, "", &[]), "", None);
    stream.request(first.clone(), offer).unwrap();
    // The name may come again, but not another one.
    stream.request(first.clone(), offer).unwrap();
    let other = Request {
        node: Some("envoy-2".to_owned()),
        ..first.clone()
    };
    assert_eq!(
        stream.request(other, offer).unwrap_err().to_string(),
        "node.id: `envoy-2` on a stream of `envoy-1`; a stream is one proxy's"
    );
    let names = |numbers: std::ops::Range<u32>| -> String {
        let names = numbers.map(|number| format!("name-{number} "));
        names.collect()
    };
    for numbers in [0..40, 0..40, 40..63] {
        let more = request(&stream, changes(&names(numbers), "", &[]), "", None);
        stream.request(more, offer).unwrap();
    }
    let more = request(&stream, changes("one-more", "", &[]), "", None);
    assert_eq!(
        stream.request(more, offer).unwrap_err().to_string(),
        "resource_names_subscribe: 65 names; 64 in one stream are the most"
    );
}

#[test]
fn a_refusal_is_cut() {
    let offer = Offer {
        name: NAME,
        version: "v1",
    };
    let mut stream = Stream::default();
    let first = request(&stream, changes(NAME, "", &[]), "", None);
    stream.request(first, offer).unwrap();
    let why = "why ".repeat(10_000);
    let refusal = request(&stream, changes("", "", &[]), "1", Some(&why));
    let learned = stream.request(refusal, offer).unwrap().learned;
    let Some(Learned::Refused { why, .. }) = learned else {
        panic!("{learned:?}");
    };
    assert_eq!(why.len(), LONGEST_WORD);
}
