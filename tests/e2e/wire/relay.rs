//! A cable between Envoy and the judge that can be cut.

use serinus_tests::failure::Result;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Dropping it closes its port and all that goes through it.
pub struct Relay {
    port: u16,
    cuts: Arc<watch::Sender<u32>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// To this port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let cuts = Arc::new(watch::Sender::new(0));
        let task = tokio::spawn(carry(listener, port, Arc::clone(&cuts)));
        Ok(Self {
            port: own,
            cuts,
            task,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection; new ones are carried.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, port: u16, cuts: Arc<watch::Sender<u32>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut cuts = cuts.subscribe();
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}
