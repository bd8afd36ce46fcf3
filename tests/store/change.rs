//! Changes to commit, made of as little as possible.

use serinus_judge::domain::audit::{Audited, Record};
use serinus_judge::domain::decision::{By, Decision, Deed, NO_HASH, Sealed};
use serinus_judge::domain::sessions::{self, SessionName};
use serinus_judge::domain::units::{UnitRecord, pack};
use serinus_judge::domain::{EpochSums, Rollout, RolloutSpec};
use serinus_judge::store::{Change, SessionsChange, SumsChange, UnitsChange};
use std::collections::BTreeMap;

pub const KEY: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

pub fn rollout(id: &str) -> Rollout {
    let spec = serde_json::json!({
        "id": id,
        "match": {"path_prefix": format!("/{id}/")},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control"}, {"name": "canary"}],
    });
    let spec: RolloutSpec = serde_json::from_value(spec).unwrap();
    Rollout::start(spec.completed(), BTreeMap::new(), 1, 1_000).unwrap()
}

/// Rollouts as they are created.
pub fn with_rollouts(ids: &[&str]) -> Change {
    Change {
        rollouts: ids.iter().map(|id| (rollout(id), KEY.to_owned())).collect(),
        ..Change::default()
    }
}

/// Sums that can be told from others by one count.
pub fn sums(epoch: u64, segment: Option<&str>, count: u64) -> EpochSums {
    let mut sums = EpochSums::new(epoch, 2);
    sums.segment = segment.map(str::to_owned);
    sums.arms[1].exposures[7] = count;
    sums
}

pub fn stored(rollout: &str, sums: &EpochSums) -> SumsChange {
    SumsChange {
        rollout: rollout.to_owned(),
        epoch: sums.epoch,
        segment: sums.segment.clone(),
        bytes: sums.to_bytes(),
    }
}

pub fn seen(exposed: u32) -> UnitRecord {
    UnitRecord {
        exposed,
        ..UnitRecord::default()
    }
}

pub fn listed(rollout: &str, all: bool, units: &[(u64, UnitRecord)]) -> UnitsChange {
    UnitsChange {
        rollout: rollout.to_owned(),
        all,
        bytes: pack(units.iter().copied()),
    }
}

pub fn session(number: u64) -> SessionName {
    SessionName::read(&format!("{number:032x}")).unwrap()
}

/// Sessions by number, each with its last report.
pub fn heard(all: bool, sessions: &[(u64, u64)]) -> Option<SessionsChange> {
    let sessions = sessions.iter();
    Some(SessionsChange {
        all,
        bytes: sessions::pack(sessions.map(|&(number, last)| (session(number), last))),
    })
}

pub fn decision(rollout: &str, sequence: u64, reason: &str) -> Sealed {
    Sealed::seal(Decision {
        rollout: rollout.to_owned(),
        sequence,
        at_ms: 5,
        deed: Deed::Pause,
        by: By::Person,
        from_step: 0,
        drops: vec![],
        to_step: 0,
        phase: None,
        baseline: None,
        reasons: vec![reason.to_owned()],
        previous_hash: NO_HASH.to_owned(),
        evidence: None,
        evidence_before: None,
    })
    .unwrap()
}

/// A record of these actions.
pub fn audited(actions: &[&str]) -> Vec<Audited> {
    let mut chain: Vec<Audited> = Vec::new();
    for action in actions {
        let record = Record {
            sequence: 0,
            at_ms: 5,
            who: "alice".to_owned(),
            action: (*action).to_owned(),
            rollout: "digits".to_owned(),
            reasons: vec!["because".to_owned()],
            decision: None,
            previous_hash: String::new(),
        };
        chain.push(Audited::after(
            chain.last().map(Audited::head).as_ref(),
            record,
        ));
    }
    chain
}
