//! A line between Envoy and the judge that sees which revision each thread of Envoy says
//! it has: a thread asks for the next plan as soon as it has taken one.

use serinus_tests::failure::{During, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Of each session, the counters that it said it has, with milliseconds since 1970.
type Said = HashMap<String, Vec<(u64, f64)>>;

pub struct Tap {
    pub port: u16,
    said: Rc<RefCell<Said>>,
}

impl Tap {
    pub async fn start(judge: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.during("listen")?;
        let port = listener.local_addr()?.port();
        let said = Rc::new(RefCell::new(Said::new()));
        let all = Rc::clone(&said);
        tokio::task::spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                let all = Rc::clone(&all);
                tokio::task::spawn_local(async move {
                    // A line that breaks is Envoy's to open again.
                    let _ = pass(client, judge, &all).await;
                });
            }
        });
        Ok(Self { port, said })
    }

    pub fn sessions(&self) -> usize {
        self.said.borrow().len()
    }

    /// When the last session said that it has this counter or a later one; `None` while
    /// one did not.
    pub fn last_to_have(&self, counter: u64) -> Option<f64> {
        let said = self.said.borrow();
        let mut last = 0.0f64;
        for times in said.values() {
            let first = times.iter().find(|(has, _)| *has >= counter)?;
            last = last.max(first.1);
        }
        Some(last)
    }
}

async fn pass(client: TcpStream, judge: u16, said: &RefCell<Said>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", judge)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::task::spawn_local(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let size = from_client.read(&mut buffer).await?;
        if size == 0 {
            break;
        }
        hear(&buffer[..size], said);
        to_server.write_all(&buffer[..size]).await?;
    }
    drop(to_server);
    back.await?;
    Ok(())
}

/// A poll is one packet: its head has some 300 bytes.
fn hear(bytes: &[u8], said: &RefCell<Said>) {
    let Some(head) = bytes.strip_prefix(b"GET /v1/plan?revision=") else {
        return;
    };
    let head = String::from_utf8_lossy(head);
    let target = head.split(' ').next().unwrap_or_default();
    let mut parts = target.split('&');
    let revision = parts.next().unwrap_or_default();
    let session = parts.find_map(|part| part.strip_prefix("session="));
    let counter = revision
        .split('.')
        .nth(1)
        .and_then(|counter| counter.parse().ok());
    if let (Some(session), Some(counter)) = (session, counter) {
        let mut said = said.borrow_mut();
        said.entry(session.to_owned())
            .or_default()
            .push((counter, now_ms()));
    }
}

fn now_ms() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1_000.0
}
