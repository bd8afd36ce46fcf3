use super::*;
use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use proptest::sample::Index;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, TlsConnector) {
    let shown = rcgen::generate_simple_self_signed(vec!["judge.example".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(shown.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(shown.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

type Ends = (ClientStream<DuplexStream>, TlsStream<DuplexStream>);

/// Both ends, through a pipe that holds so many bytes.
async fn connected(version: &'static SupportedProtocolVersion, pipe: usize) -> Ends {
    let (server, client) = configs(version);
    let (far, near) = duplex(pipe);
    let name = ServerName::try_from("judge.example").unwrap();
    let shaken = tokio::join!(client.connect(name, far), TlsStream::accept(near, server));
    (shaken.0.unwrap(), shaken.1.unwrap())
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

fn holds_nothing(stream: &TlsStream<DuplexStream>) -> bool {
    let Rest {
        incoming,
        plain,
        outgoing,
        ..
    } = &stream.rest;
    incoming.capacity() + plain.capacity() + outgoing.capacity() == 0
}

/// Through a pipe that takes a part of a record at a time, too.
#[tokio::test]
async fn what_is_said_arrives_whole_on_both_sides() {
    for (version, pipe) in VERSIONS
        .into_iter()
        .flat_map(|one| [(one, 700), (one, 1 << 20)])
    {
        let (mut client, mut server) = connected(version, pipe).await;
        let (question, answer) = (bytes(100_003), bytes(70_001));
        let ask = async {
            client.write_all(&question).await.unwrap();
            client.flush().await.unwrap();
            let mut heard = vec![0; answer.len()];
            client.read_exact(&mut heard).await.unwrap();
            assert!(heard == answer, "{version:?} {pipe}");
            client
        };
        let reply = async {
            let mut heard = vec![0; question.len()];
            // In pieces of all sizes, across the borders of records.
            let (mut start, mut piece) = (0, 1);
            while start < heard.len() {
                let end = (start + piece).min(heard.len());
                server.read_exact(&mut heard[start..end]).await.unwrap();
                (start, piece) = (end, piece * 2 % 4_099 + 1);
            }
            assert!(heard == question, "{version:?} {pipe}");
            server.write_all(&answer).await.unwrap();
            server.flush().await.unwrap();
            server
        };
        let (_client, mut server) = tokio::join!(ask, reply);
        assert!(server.read(&mut [0; 9]).now_or_never().is_none());
        assert!(holds_nothing(&server), "while it waits");
    }
}

#[tokio::test]
async fn an_end_that_is_said_is_one_and_a_cut_is_none() {
    for version in VERSIONS {
        let (mut client, mut server) = connected(version, 1 << 20).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last");
        // Who has ended still listens.
        server.write_all(b"bye").await.unwrap();
        server.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        heard.clear();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"bye");

        let (mut client, mut server) = connected(version, 1 << 20).await;
        client.write_all(b"half").await.unwrap();
        client.flush().await.unwrap();
        drop(client.into_inner().0);
        heard.clear();
        let cut = server.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(heard, b"half");
    }
}

#[tokio::test]
async fn keys_may_change_on_the_way() {
    let (mut client, mut server) = connected(&version::TLS13, 1 << 20).await;
    for turn in 0..3_u8 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[turn; 40]).await.unwrap();
        client.flush().await.unwrap();
        let mut heard = [0; 40];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [turn; 40]);
        server.write_all(&heard).await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [turn; 40]);
    }
}

#[tokio::test]
async fn nonsense_is_answered_with_an_alert() {
    let (server, _) = configs(&version::TLS13);
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[22, 3, 1, 0xff, 0xff],
        &[0x16; 70_000],
    ] {
        let (mut far, near) = duplex(1 << 20);
        far.write_all(nonsense).await.unwrap();
        let refused = TlsStream::accept(near, Arc::clone(&server)).await;
        assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::InvalidData);
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.first(), Some(&21), "an alert: {said:?}");
    }
    // What is changed on its way is not taken.
    let (client, mut server) = connected(&version::TLS13, 1 << 20).await;
    let (mut pipe, mut session) = client.into_inner();
    std::io::Write::write_all(&mut session.writer(), b"promote").unwrap();
    let mut sealed = Vec::new();
    session.write_tls(&mut sealed).unwrap();
    let last = sealed.last_mut().unwrap();
    *last ^= 1;
    pipe.write_all(&sealed).await.unwrap();
    let mut heard = [0; 7];
    let wrong = server.read_exact(&mut heard).await.unwrap_err();
    assert_eq!((wrong.kind(), heard), (io::ErrorKind::InvalidData, [0; 7]));
    let more = server.write_all(b"and then?").await;
    more.unwrap_err();
}

/// A message that comes in records of one byte is longer than what is held.
#[tokio::test]
async fn a_hello_in_crumbs_is_given_up() {
    let (server, _) = configs(&version::TLS13);
    let (mut far, near) = duplex(1 << 20);
    let accepted = tokio::spawn(TlsStream::accept(near, server));
    let crumb = |byte| [22, 3, 1, 0, 1, byte];
    let mut said: Vec<u8> = [1, 0, 0xff, 0xff].into_iter().flat_map(crumb).collect();
    said.resize(SCRATCH - 6, 0);
    for at in said.chunks_mut(6).skip(4) {
        at.copy_from_slice(&crumb(0));
    }
    far.write_all(&said).await.unwrap();
    tokio::task::yield_now().await;
    far.write_all(&crumb(0).repeat(3)).await.unwrap();
    let refused = accepted.await.unwrap().err().unwrap();
    assert_eq!(refused.to_string(), "a message is too long");
}

/// Many slices are one record, and none is lost behind what goes into one.
#[tokio::test]
async fn slices_go_together() {
    let (mut client, mut server) = connected(&version::TLS13, 1 << 20).await;
    let (head, body) = (bytes(200), bytes(40_000));
    let slices = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
    assert_eq!(server.write_vectored(&slices).await.unwrap(), MOST_PLAIN);
    server.write_all(&body[MOST_PLAIN - 200..]).await.unwrap();
    server.flush().await.unwrap();
    let mut heard = vec![0; 40_200];
    client.read_exact(&mut heard).await.unwrap();
    assert!(heard[..200] == head && heard[200..] == body);
}

/// Bytes behind the end are not kept.
#[tokio::test]
async fn junk_behind_the_end_is_nothing() {
    let (mut client, mut server) = connected(&version::TLS13, 1 << 20).await;
    let (pipe, session) = client.get_mut();
    session.send_close_notify();
    let mut sealed = Vec::new();
    session.write_tls(&mut sealed).unwrap();
    sealed.resize(9_000, 23);
    pipe.write_all(&sealed).await.unwrap();
    assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
    assert!(holds_nothing(&server));
    server.write_all(b"bye").await.unwrap();
}

/// What a client says first, which is whole in what it sends without an answer.
fn hello() -> Vec<u8> {
    let (_, client) = configs(&version::TLS13);
    let name = ServerName::try_from("judge.example").unwrap();
    let session = rustls::ClientConnection::new(Arc::clone(client.config()), name);
    let mut hello = Vec::new();
    session.unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// Of the pieces into which bytes are cut.
fn borders(cuts: &[Index], length: usize) -> Vec<usize> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(length)).collect();
    borders.extend([0, length]);
    borders.sort_unstable();
    borders
}

proptest! {
    /// However it is cut into pieces, broken or gone on with: an error, and no panic.
    #[test]
    fn a_broken_hello_harms_nobody(
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        cuts in vec(any::<Index>(), 0..6),
        more in vec(any::<u8>(), 0..400),
    ) {
        let mut said = hello();
        for (at, byte) in changes {
            let at = at.index(said.len());
            said[at] = byte;
        }
        said.extend(more);
        let cuts = borders(&cuts, said.len());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (server, _) = configs(&version::TLS13);
            let (mut far, near) = duplex(1 << 20);
            let accepting = tokio::spawn(TlsStream::accept(near, server));
            for piece in cuts.windows(2) {
                let _ = far.write_all(&said[piece[0]..piece[1]]).await;
                tokio::task::yield_now().await;
            }
            far.shutdown().await.unwrap();
            assert!(accepting.await.unwrap().is_err());
        });
    }
}

proptest! {
    /// Neither is what is broken later: what was opened is what was said, as far as it
    /// goes, and after an error everything else is one.
    #[test]
    fn what_is_broken_later_harms_nobody(
        said in vec(vec(any::<u8>(), 1..300), 1..5),
        changes in vec((any::<Index>(), any::<u8>()), 0..3),
        cuts in vec(any::<Index>(), 0..6),
        more in vec(any::<u8>(), 0..60),
        again in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut server) = connected(&version::TLS13, 1 << 20).await;
            let (mut pipe, mut session) = client.into_inner();
            let mut sealed = Vec::new();
            for piece in &said {
                std::io::Write::write_all(&mut session.writer(), piece).unwrap();
                session.write_tls(&mut sealed).unwrap();
            }
            if again {
                sealed.extend_from_within(..);
            }
            for (at, byte) in changes {
                let at = at.index(sealed.len());
                sealed[at] = byte;
            }
            sealed.extend(more);
            let cuts = borders(&cuts, sealed.len());
            let (mut heard, mut is_broken) = (Vec::new(), false);
            for piece in cuts.windows(2) {
                pipe.write_all(&sealed[piece[0]..piece[1]]).await.unwrap();
                let mut some = [0; 500];
                while let Some(read) = server.read(&mut some).now_or_never() {
                    match read {
                        Ok(0) => break,
                        Ok(count) => {
                            assert!(!is_broken);
                            heard.extend_from_slice(&some[..count]);
                        }
                        Err(_) => {
                            is_broken = true;
                            break;
                        }
                    }
                }
                let written = server.write(b"an answer").now_or_never().unwrap();
                assert_eq!(written.is_err(), is_broken);
            }
            let said = said.concat();
            assert!(said.starts_with(&heard), "{heard:?}");
        });
    }
}
