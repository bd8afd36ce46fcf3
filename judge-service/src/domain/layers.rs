//! Rollouts that exclude each other: each has a part of its layer's buckets, from its
//! start until it is deleted.
//!
//! A layer's salt is its own, and not that of the rollouts in it: which part a unit
//! falls into is independent of the arm that it then gets, so the users of a part
//! that is used again are split anew.

use super::rollout::Rollout;
use super::spec::InLayer;
use serinus_core::bucket::BUCKETS;
use serinus_core::json::FieldError;
use serinus_core::plan::wire;

/// Buckets `from..to` of a layer.
pub type Part = (u16, u16);

/// The lowest free part of the size that a rollout asks for.
///
/// # Errors
/// None is free, with what is.
pub fn place(wanted: &InLayer, taken: impl IntoIterator<Item = Part>) -> Result<Part, FieldError> {
    let size = (wanted.percent * f64::from(BUCKETS) / 100.0).round() as u16;
    let mut taken: Vec<Part> = taken.into_iter().collect();
    taken.sort_unstable();
    taken.push((BUCKETS, BUCKETS));
    let (mut from, mut largest) = (0, 0);
    for (start, end) in taken {
        let gap = start.saturating_sub(from);
        if gap >= size {
            return Ok((from, from + size));
        }
        largest = largest.max(gap);
        from = from.max(end);
    }
    Err(FieldError::new(
        "layer.percent",
        format!(
            "is {}, and the largest part of layer `{}` that is free is {}%; delete a rollout that is over, or ask for less",
            wanted.percent,
            wanted.name,
            f64::from(largest) / 100.0
        ),
    ))
}

#[must_use]
pub fn plan(rollout: &Rollout) -> Option<wire::Layer> {
    let (from, to) = rollout.layer_part?;
    let name = rollout.spec.layer.as_ref().map(|layer| &layer.name)?;
    Some(wire::Layer {
        salt: format!("layer/{name}"),
        from,
        to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(percent: f64) -> InLayer {
        InLayer {
            name: "ranking".to_owned(),
            percent,
        }
    }

    #[test]
    fn the_lowest_part_that_fits() {
        assert_eq!(place(&wanted(100.0), []), Ok((0, 10_000)));
        assert_eq!(place(&wanted(0.01), []), Ok((0, 1)));
        let taken = [(8_000, 10_000), (0, 3_000)];
        assert_eq!(place(&wanted(50.0), taken), Ok((3_000, 8_000)));
        assert_eq!(place(&wanted(20.0), taken), Ok((3_000, 5_000)));
        let error = place(&wanted(60.0), taken).unwrap_err();
        assert_eq!(error.field, "layer.percent");
        assert!(error.problem.contains("that is free is 50%"), "{error}");
    }
}
