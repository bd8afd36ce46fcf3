//! A line between a program and a server that can be cut, so that the program is cut
//! off without either of them ending.

use crate::failure::{During, Result};
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Dropping it ends all that goes through it.
pub struct Relay {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Relay {
    /// A line to the server at `to`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .during("listen for a relay")?;
        let port = listener.local_addr().during("find a relay's port")?.port();
        let (whole, state) = watch::channel(true);
        tokio::spawn(accept(listener, to, state));
        Ok(Self { port, whole })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes, and nobody is told: connections stay open and
    /// silent, as when a network is lost.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// New connections pass again; those of before are closed.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: watch::Receiver<bool>) {
    let mut over = state.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The relay is gone.
            () = async { let _ = over.wait_for(|_| false).await.is_err(); } => return,
        };
        let Ok((client, _)) = accepted else {
            return;
        };
        tokio::spawn(pass(client, to, state.clone()));
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, mut state: watch::Receiver<bool>) {
    if state.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let mut cut = state.clone();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        // What it waits for is not to be held while it waits for more.
        is_cut = async { cut.wait_for(|whole| !*whole).await.is_ok() } => if is_cut {
            let _ = state.wait_for(|whole| *whole).await.is_ok();
        },
    }
}
