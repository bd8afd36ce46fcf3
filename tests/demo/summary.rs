//! What is left to read at the end.

use serinus_tests::peers::End as PeerEnd;
use serinus_tests::stories::{Comparison, End};

/// Prints it; whether all went as it should.
pub fn print(ends: &[End]) -> bool {
    println!();
    println!("=== Summary {}", "=".repeat(93));
    println!();
    println!(
        "  {:<42} {:>24} {:>12} {:>22} {:>22}",
        "", "Serinus", "users hurt", "Flagger's rule*", "Argo Rollouts' rule*"
    );
    for end in ends {
        let Comparison {
            flagger,
            argo_rollouts,
        } = &end.peers;
        println!(
            "  {:<42} {:>24} {:>12} {:>22} {:>22}",
            end.title,
            end.short(),
            end.users_hurt,
            peer(flagger.course.end, flagger.users_hurt),
            peer(argo_rollouts.course.end, argo_rollouts.users_hurt),
        );
    }
    println!();
    for end in ends {
        for note in &end.notes {
            println!("  {}: {note}", end.title);
        }
    }
    println!("  * simulated from their documentation on the same canary; users hurt in brackets");
    let failed: u64 = ends.iter().map(|end| end.our_failures).sum();
    let requests: u64 = ends.iter().map(|end| end.requests).sum();
    println!("  requests: {requests}; failed because of Serinus or Envoy: {failed}");
    let mut good = true;
    for end in ends {
        for problem in &end.problems {
            good = false;
            println!("  NOT AS IT SHOULD BE: {}: {problem}", end.title);
        }
    }
    if good {
        println!("  all three ended as they should, and each replay gave the same verdict");
    }
    good
}

fn peer(end: PeerEnd, users_hurt: f64) -> String {
    match end {
        PeerEnd::RolledBack { second } => format!("back, {second} s ({users_hurt:.0})"),
        PeerEnd::Promoted { second } => format!("promoted, {second} s ({users_hurt:.0})"),
    }
}
