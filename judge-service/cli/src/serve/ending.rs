//! How a judge ends that was asked to: nothing that was begun is left half done, and
//! nobody waits for what does not come.

use serinus_judge::cluster::Member;
use serinus_judge::service::Delivery;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What is under way ends within milliseconds. Only a client that sends a body slowly
/// takes longer, and is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// So long the lease is kept for commits under way. Then another judge may go on.
const LAST_COMMITS: Duration = Duration::from_millis(500);

/// Returns when the judge is asked to end, and has let go of all who wait for something
/// new: they ask another judge, or this one when it is back.
pub async fn asked(delivery: Arc<Delivery>) {
    stop_signal().await;
    tracing::info!("asked to end: what is under way is finished, and nothing new is begun");
    delivery.end();
}

/// Serves until it is asked to end and what is under way has ended, or took too long.
pub async fn serve(
    served: impl Future<Output = ()>,
    delivery: Arc<Delivery>,
    member: Option<Arc<Member>>,
) {
    let mut ending = delivery.ending();
    let mut served = std::pin::pin!(served);
    // Without a connection it has ended in the moment in which it was asked to.
    let quick = tokio::select! {
        () = &mut served => true,
        _ = ending.wait_for(|ending| *ending) => {
            tokio::time::timeout(LAST_COMMITS, &mut served).await.is_ok()
        }
    };
    if let Some(member) = member {
        member.give_up().await;
    }
    let is_drained = quick || tokio::time::timeout(PATIENCE, served).await.is_ok();
    if !is_drained {
        tracing::warn!("some clients took too long; they were let go");
    }
}

async fn stop_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
