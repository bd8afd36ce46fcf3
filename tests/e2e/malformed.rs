//! Whatever a client sends is routed by its bytes or by nothing, reaches the server
//! as it was, and stops no worker.

use crate::wire::answer::Answer;
use crate::wire::echo::pattern;
use crate::wire::http1::{chunked, request};
use crate::wire::{self, ID, Wire, user};
use crate::world::{LIMIT, canary_after, keys, turn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_core::bucket::place;
use serinus_tests::lab::CONTROL;
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::random::Random;
use serinus_tests::wait;

/// Every source that there is, and conditions that read as much again.
fn reads_all() -> Value {
    let mut spec = wire::spec();
    spec["unit"] = json!([
        {"header": USER_HEADER}, {"cookie": "uid"}, {"query": "uid"}, {"jwt_claim": "sub"},
    ]);
    // None of them holds for anything that is sent here.
    spec["segments"] = json!([
        {"name": "header", "when": [{"header": "x-odd", "regex": "(never)+"}], "arm": CONTROL},
        {"name": "cookie", "when": [{"cookie": "odd", "at_least": 1e300}], "arm": CONTROL},
        {"name": "query", "when": [{"query": "odd", "prefix": "never"}], "arm": CONTROL},
        {"name": "claim", "when": [{"jwt_claim": "odd", "in": ["never"]}], "arm": CONTROL},
    ]);
    spec["overrides"] = json!({"tokens": [{"arm": CONTROL, "sha256": "0".repeat(64)}]});
    spec
}

fn arm_of(unit: &[u8]) -> Arm {
    match canary_after(&[50]).arm(place(unit, ID).bucket) {
        Some(1) => Arm::Canary,
        _ => Arm::Control,
    }
}

/// What is sent between the method and the end of the headers, and the unit that is
/// in it; with none the baseline answers.
struct Case {
    path: Vec<u8>,
    headers: Vec<u8>,
    unit: Option<Vec<u8>>,
}

fn in_headers(headers: impl AsRef<[u8]>, unit: Option<&[u8]>) -> Case {
    Case {
        path: b"/".to_vec(),
        headers: headers.as_ref().to_vec(),
        unit: unit.map(<[u8]>::to_vec),
    }
}

fn in_path(path: impl AsRef<[u8]>, unit: Option<&[u8]>) -> Case {
    Case {
        path: path.as_ref().to_vec(),
        headers: Vec::new(),
        unit: unit.map(<[u8]>::to_vec),
    }
}

fn bearer(payload: &[u8]) -> Vec<u8> {
    let payload = URL_SAFE_NO_PAD.encode(payload);
    format!("authorization: Bearer e30.{payload}.x\r\n").into_bytes()
}

fn cases() -> Vec<Case> {
    let header = |value: &[u8]| [b"x-user-id: ", value, b"\r\n"].concat();
    let cookie = |value: &[u8]| [b"cookie: ", value, b"\r\n"].concat();
    let (canary, control) = (user(Arm::Canary), user(Arm::Control));
    let (canary, control) = (canary.as_bytes(), control.as_bytes());
    let mut cases = vec![
        in_headers("", None),
        in_headers("x-user-id:\r\n", None),
        in_headers("x-user-id:  \t \r\n", None),
        in_headers("X-USER-ID: a b\r\n", Some(b"a b")),
        // The first of two counts, as a proxy or a server behind would see it.
        in_headers([header(canary), header(control)].concat(), Some(canary)),
        in_headers([header(control), header(canary)].concat(), Some(control)),
        in_headers(cookie(b""), None),
        in_headers(cookie(b"uid"), None),
        in_headers(cookie(b";;=;uid=;= ;"), None),
        in_headers(cookie(b"uid2=1; UID=2; xuid=3"), None),
        in_headers(cookie(b"=uid=1"), None),
        in_headers(cookie(b"uid=\"\""), None),
        in_headers(cookie(b"uid=\""), Some(b"\"")),
        in_headers(cookie(b"uid=\xff\xfe;"), Some(b"\xff\xfe")),
        in_path("/?", None),
        in_path("/?uid", None),
        in_path("/?uid=&uid=", None),
        in_path("/?%=%&%%=1&=&&uid=%zz%4", Some(b"%zz%4")),
        in_path("/?uid=%00%ff+%2B", Some(b"\0\xff +")),
        in_path("/??uid=a", None),
        in_path("/?&&&uid=a?b=/c", Some(b"a?b=/c")),
        in_headers("authorization:\r\n", None),
        in_headers("authorization: Bearer\r\n", None),
        in_headers("authorization: Bearer ....\r\n", None),
        in_headers(b"authorization: Bearer \xff.\xff.\xff\r\n", None),
        in_headers(bearer(b"not JSON"), None),
        in_headers(bearer(b"{\"sub\":\"\xff\"}"), None),
        in_headers(
            bearer(&[b"{\"sub\":".as_slice(), &[b'['; 8_000]].concat()),
            None,
        ),
        in_headers(bearer(b"{\"sub\":[1]}"), None),
        in_headers(bearer(b"{\"sub\":-1.5e3}"), Some(b"-1500.0")),
    ];
    // Of both arms, whatever they are made of.
    for byte in 0..10 {
        let raw = [b"\xff\x80\xc3".as_slice(), &[0xa0 + byte]].concat();
        cases.push(in_headers(header(&raw), Some(&raw)));
        let long = vec![b'a' + byte; 50_000];
        cases.push(in_headers(header(&long), Some(&long)));
        let key = &keys(20)[usize::from(byte)];
        let many: String = (0..500)
            .map(|number| format!("c{number}={number}; "))
            .collect();
        let many = format!("{many}uid={key}; uid=second");
        cases.push(in_headers(cookie(many.as_bytes()), Some(key.as_bytes())));
        let quoted = format!("a=\"b; uid=\"{key}\"");
        cases.push(in_headers(cookie(quoted.as_bytes()), Some(key.as_bytes())));
        cases.push(in_path(
            format!("/?{}uid={key}", "q=1&".repeat(2_000)),
            Some(key.as_bytes()),
        ));
        cases.push(in_headers(
            bearer(json!({"sub": key}).to_string().as_bytes()),
            Some(key.as_bytes()),
        ));
    }
    cases
}

/// What all these tests rest on.
#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_died_is_noticed() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let traps = folder.path().join("traps.wasm");
    std::fs::write(&traps, wat::parse_str(crate::baseline::TRAPS).unwrap()).unwrap();
    let wire = Wire::launch(&traps, &[], false).await.unwrap();
    wire.vms_live().await.unwrap();
    wire.arm_of("anybody").await.unwrap_err();
    let noticed = wire.vms_live().await.unwrap_err().to_string();
    assert!(
        noticed.contains("proxy_on_request_headers failed"),
        "{noticed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_its_bytes_and_what_is_broken_is_none() {
    let _turn = turn().await;
    let wire = Wire::start_with(&reads_all(), &[]).await;
    let mut arms = Vec::new();
    for Case {
        path,
        headers,
        unit,
    } in cases()
    {
        let mut client = wire.http1().await;
        let bytes = [
            b"GET ",
            path.as_slice(),
            b" HTTP/1.1\r\nhost: a\r\n",
            &headers,
            b"\r\n",
        ];
        client.send(&bytes.concat()).await.unwrap();
        let answer = client.answer().await.unwrap();
        let arm = unit.map_or(Arm::Control, |unit| arm_of(&unit));
        let sent = [path, headers].concat();
        let sent = sent[..sent.len().min(100)].escape_ascii().to_string();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm)), "{sent}");
        // The server has it as it was.
        let seen = wire.server(arm).take_seen().remove(0);
        let values = seen.headers.get_all(USER_HEADER).iter().count();
        assert_eq!(
            values,
            sent.matches("x-user-id").count() + sent.matches("X-USER-ID").count()
        );
        arms.push(arm);
    }
    let canary = arms.iter().filter(|&&arm| arm == Arm::Canary).count();
    assert!(
        (20..arms.len() - 20).contains(&canary),
        "{canary} of {}",
        arms.len()
    );
    wire.unharmed().await;
}

/// Bodies that no model server would take: they are the server's to refuse.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_malformed_kind_pass_as_they_are() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03 and then no deflate";
    let deep = [vec![b'['; 500_000], vec![b']'; 500_000]].concat();
    for arm in [Arm::Control, Arm::Canary] {
        let key = user(arm);
        let who = (USER_HEADER, key.as_str());
        let mut client = wire.http1().await;
        for (encoding, body) in [
            ("identity", &b"{\"inputs\": [{\"shape\": [-1, 1e999"[..]),
            ("identity", b"\xff\xfe\0 no JSON, no text"),
            ("identity", &deep),
            ("gzip", gzip),
            ("br", &pattern(70_000)),
            ("no-such-encoding", b"{}"),
        ] {
            let headers = [
                who,
                ("content-encoding", encoding),
                ("content-type", "application/json"),
            ];
            let answer = client.ask("POST /", &headers, body).await.unwrap();
            assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
            assert!(answer.body == body, "{encoding}");
            let seen = wire.server(arm).take_seen().remove(0);
            assert_eq!(seen.headers["content-encoding"], encoding);
        }
        // A thousand chunks of a byte.
        client
            .send(&request(
                "POST /",
                &[who, ("transfer-encoding", "chunked")],
                b"",
            ))
            .await
            .unwrap();
        let pieces = vec![&b"x"[..]; 1_000];
        client.send(&chunked(&pieces, "")).await.unwrap();
        assert_eq!(client.answer().await.unwrap().body, vec![b'x'; 1_000]);
    }
    // The judge got what was sampled, five of each arm, and can read none of it.
    wait::until("the samples", LIMIT, async || {
        let reply = wire.judge.call(Method::GET, "/v1/counters", None).await?;
        Ok((reply.body["samples_unreadable"] == 10).then_some(()))
    })
    .await
    .unwrap();
    // Framing that is broken: Envoy refuses it or waits, and then the client goes.
    let key = user(Arm::Canary);
    let who = (USER_HEADER, key.as_str());
    for (headers, body) in [
        (vec![("transfer-encoding", "chunked")], "zz\r\nnot hex\r\n"),
        (
            vec![("transfer-encoding", "chunked")],
            "ffffffffffffffffff\r\n",
        ),
        (
            vec![("transfer-encoding", "chunked"), ("content-length", "3")],
            "0\r\n\r\n",
        ),
        (
            vec![("content-length", "3"), ("content-length", "4")],
            "abcd",
        ),
        (vec![("content-length", "-1")], "abc"),
        (
            vec![("transfer-encoding", "gzip, chunked, what")],
            "0\r\n\r\n",
        ),
    ] {
        let mut client = wire.http1().await;
        let bytes = request("POST /", &[&[who], headers.as_slice()].concat(), b"");
        client.send(&bytes).await.unwrap();
        client.send(body.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.arm(), None, "{headers:?}: {answer:?}");
        assert!(
            (400..=501).contains(&answer.status),
            "{headers:?}: {answer:?}"
        );
    }
    wire.unharmed().await;
}

/// A cookie is issued to whoever has none, with any answer.
#[tokio::test(flavor = "multi_thread")]
async fn random_nonsense_stops_no_worker() {
    const REQUESTS: u64 = 1_500;
    const SEED: u64 = 0x5e71_7005;
    let _turn = turn().await;
    let mut spec = reads_all();
    let issue = json!({"issue_cookie": {"name": "uid"}});
    spec["unit"].as_array_mut().unwrap().push(issue);
    let wire = Wire::start_with(&spec, &[]).await;
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    let mut answered = 0;
    let mut client = wire.http1().await;
    for _ in 0..REQUESTS {
        let bytes = nonsense(&mut random);
        let answer = match client.send(&bytes).await {
            Ok(()) => client.answer().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer { status: 200, .. }) => answered += 1,
            // Refused, and maybe in the middle: Envoy closes.
            _ => client = wire.http1().await,
        }
    }
    assert!(
        answered > REQUESTS / 2,
        "most got past Envoy, but only {answered}"
    );
    // No HTTP at all, and HTTP/2 that is none after its first words.
    for start in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        for _ in 0..50 {
            let mut client = wire.http1().await;
            let noise: Vec<u8> = (0..500).map(|_| random.below(256) as u8).collect();
            let _ = client.send(&[start, &noise, b"\r\n\r\n"].concat()).await;
        }
    }
    wire.unharmed().await;
}

/// A request of which each part may be anything that HTTP lets through.
pub fn nonsense(random: &mut Random) -> Vec<u8> {
    const WORDS: [&[u8]; 24] = [
        b"uid",
        b"=",
        b";",
        b"&",
        b"%",
        b"%41",
        b"%zz",
        b"+",
        b"\"",
        b" ",
        b"?",
        b"#",
        b"/",
        b".",
        b"Bearer ",
        b"e30",
        b"eyJzdWIiOiJhIn0",
        b"{\"sub\":",
        b"[",
        b"\xff",
        b"\xc3\x28",
        b"\x80",
        b"odd",
        b"user-00001",
    ];
    let mut words = |most: u64, path: bool| -> Vec<u8> {
        let count = random.below(most);
        let words = (0..count).map(|_| WORDS[random.below(WORDS.len() as u64) as usize]);
        // A blank would end the path, and bytes beyond ASCII are refused in it.
        let fits = |word: &&[u8]| !path || (word.is_ascii() && !word.contains(&b' '));
        words.filter(fits).flatten().copied().collect()
    };
    let mut bytes = b"POST /".to_vec();
    bytes.extend(words(10, true));
    bytes.extend(b" HTTP/1.1\r\nhost: a\r\n");
    for name in [
        USER_HEADER,
        "cookie",
        "cookie",
        "authorization",
        "x-odd",
        "x-serinus-override",
        "x-serinus-arm",
    ] {
        if words(2, false).is_empty() {
            continue;
        }
        bytes.extend(name.bytes());
        bytes.extend(b": ");
        bytes.extend(words(30, false));
        bytes.extend(b"\r\n");
    }
    let body = words(50, false);
    bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    bytes.extend(body);
    bytes
}
