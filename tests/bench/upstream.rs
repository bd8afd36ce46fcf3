//! The model server behind every variant: the least that answers HTTP/1.1, so
//! that it takes as little as possible of the machine that is measured on.

use serinus_tests::failure::{During, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::message::Message;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 48\r\n\r\n{\"model_name\":\"digits\",\"outputs\":[{\"data\":[7]}]}\n";

pub struct Upstream {
    pub port: u16,
    answered: Arc<AtomicU64>,
}

impl Upstream {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .during("listen as the upstream")?;
        let port = listener.local_addr()?.port();
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&count)));
            }
        });
        Ok(Self { port, answered })
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Until Envoy closes the connection.
async fn serve(mut connection: TcpStream, answered: Arc<AtomicU64>) {
    let _ = connection.set_nodelay(true);
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        while let Some(message) = Message::first(&buffer) {
            buffer.drain(..message.size);
            answered.fetch_add(1, Ordering::Relaxed);
            if connection.write_all(ANSWER).await.is_err() {
                return;
            }
        }
        match connection.read_buf(&mut buffer).await {
            Ok(size) if size > 0 => {}
            _ => return,
        }
    }
}
