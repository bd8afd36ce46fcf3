//! What is known of a plan's way, from what workers and proxies say.

use super::*;

fn plan(counter: u64) -> Plan {
    Plan {
        version: 1,
        revision: Revision {
            generation: 1,
            counter,
        },
        report_interval_ms: 1000,
        holdout: None,
        rollouts: vec![],
    }
}

fn poll(session: &str, counter: u64) -> Poll {
    Poll {
        session: session.to_owned(),
        node: "envoy-1".to_owned(),
        revision: plan(counter).revision,
        refused: None,
    }
}

#[test]
fn measures_arrival_at_workers_that_serve() {
    let delivery = Delivery::empty();
    delivery.give_out(Published::of(&plan(1)), 0);
    let polled = |session, counter, now| delivery.polled(&poll(session, counter), now);
    for session in ["main", "worker-1", "worker-2"] {
        polled(session, 1, 10);
    }
    delivery.serves("worker-1", 20);
    delivery.serves("worker-2", 20);
    delivery.give_out(Published::of(&plan(2)), 100);
    polled("worker-1", 2, 103);
    let convergence = delivery.convergence(104);
    assert_eq!((convergence.workers, convergence.converged), (2, 1));
    assert_eq!(convergence.decided_to_last_worker_ms, None);
    polled("worker-2", 2, 107);
    polled("worker-1", 2, 5_000);
    assert_eq!(
        delivery.convergence(5_000).decided_to_last_worker_ms,
        Some(7)
    );
    assert_eq!(delivery.convergence(200_000).silent, 2);
}

#[test]
fn a_decision_is_delivered_once_all_have_it_that_served_then() {
    let delivery = Delivery::empty();
    delivery.give_out(Published::of(&plan(1)), 0);
    for session in ["worker-1", "worker-2"] {
        delivery.reported(session, Some(plan(1).revision), 10);
    }
    delivery.give_out(Published::of(&plan(2)), 100);
    delivery.give_out(Published::of(&plan(3)), 150);
    let took = |counter, now| {
        let delivered = delivery.delivered(plan(counter).revision, now)?;
        let (first, last) = (delivered.first_worker_ms, delivered.last_worker_ms);
        Some((delivered.workers, delivered.missing, first, last))
    };
    delivery.polled(&poll("worker-1", 2), 103);
    assert_eq!(took(2, 104), None);
    // One that came later had nothing to wait for, and the second skips a plan.
    delivery.reported("worker-3", Some(plan(2).revision), 120);
    delivery.polled(&poll("worker-2", 3), 160);
    assert_eq!(took(2, 161), Some((2, 0, Some(3), Some(60))));
    assert_eq!(took(3, 161), None);
    // What is said late changes nothing, and nobody is waited for without end.
    delivery.polled(&poll("worker-2", 2), 170);
    assert_eq!(took(3, 150 + MISSED_MS), Some((1, 2, Some(10), Some(10))));
    assert_eq!(took(4, 200), None);
}

#[test]
fn a_report_says_which_plan_a_worker_has_and_never_an_older_one() {
    let delivery = Delivery::empty();
    delivery.give_out(Published::of(&plan(1)), 0);
    delivery.reported("worker-1", Some(plan(1).revision), 10);
    delivery.give_out(Published::of(&plan(2)), 100);
    delivery.reported("worker-1", Some(plan(2).revision), 104);
    // One that was on its way for long, and one from before any plan.
    delivery.reported("worker-1", Some(plan(1).revision), 900);
    delivery.reported("worker-1", None, 901);
    let convergence = delivery.convergence(902);
    assert_eq!((convergence.workers, convergence.converged), (1, 1));
    assert_eq!(convergence.decided_to_last_worker_ms, Some(4));
}

#[test]
fn what_a_proxy_refuses_its_workers_refuse_until_one_of_them_has_it() {
    let delivery = Delivery::empty();
    delivery.give_out(Published::of(&plan(1)), 0);
    let revision = |counter| plan(counter).revision;
    let states = |now| -> Vec<(String, Standing, Option<String>)> {
        let workers = delivery.workers(now).into_iter();
        workers
            .map(|worker| (worker.session, worker.state, worker.refused))
            .collect()
    };
    let no = || Some("no".to_owned());
    // One without a worker is shown by itself.
    let refuse = |counter: u64| {
        let version = format!("1.{counter}-x");
        let mut proxies = delivery.proxies();
        proxies.refused("envoy-1", &version, Some(revision(counter)), "no", 1);
    };
    refuse(1);
    assert_eq!(states(1), [(String::new(), Standing::Refused, no())]);
    for session in ["worker-1", "worker-2"] {
        delivery.polled(&poll(session, 1), 2);
        delivery.serves(session, 2);
    }
    let worker = |number: u32, state, why| (format!("worker-{number}"), state, why);
    assert_eq!(
        states(2),
        [
            worker(1, Standing::Converged, None),
            worker(2, Standing::Converged, None)
        ]
    );
    delivery.give_out(Published::of(&plan(2)), 3);
    assert_eq!(
        states(3),
        [
            worker(1, Standing::Lagging, None),
            worker(2, Standing::Lagging, None)
        ]
    );
    refuse(2);
    assert_eq!(
        states(4),
        [
            worker(1, Standing::Refused, no()),
            worker(2, Standing::Refused, no())
        ]
    );
    assert_eq!(delivery.heard_of(4).refused, 2);
    assert_eq!(delivery.convergence(4).refused, 2);
    delivery.polled(&poll("worker-1", 2), 5);
    assert_eq!(
        states(5),
        [
            worker(1, Standing::Converged, None),
            worker(2, Standing::Refused, no())
        ]
    );
}
