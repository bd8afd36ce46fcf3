//! From the smaller parts of a rollout's plan to what the request path asks.

use super::compiled::{ArmIndex, Sampling, share};
use super::wire;
use crate::breaker;
use crate::bucket::BUCKETS;
use crate::failure::ErrorRule;
use crate::json::{FieldError, written};
use crate::membership::{Holdout, Layer};
use crate::shadow::Shadow;

/// Envoy itself buffers 1 MiB and answers 413 above; the filter must give up before.
pub const MOST_HELD_BYTES: u32 = 512 * 1024;

/// # Errors
/// A share that is none.
pub fn sampling(sampling: &wire::Sampling) -> Result<Sampling, FieldError> {
    Ok(Sampling {
        share: share("sampling.share", sampling.share)?,
        per_second: sampling.per_second,
        max_body_bytes: sampling.max_body_bytes as usize,
        headers: sampling.headers.as_slice().into(),
    })
}

/// # Errors
/// A bound that is none.
pub fn breaker(breaker: &wire::Breaker) -> Result<breaker::Settings, FieldError> {
    if breaker.minimum_requests == 0 {
        return Err(FieldError::new(
            "breaker.minimum_requests",
            "is 0; at least 1 is right",
        ));
    }
    if !(breaker.error_share > 0.0 && breaker.error_share <= 1.0) {
        return Err(FieldError::new(
            "breaker.error_share",
            format!(
                "is {}; more than 0, at most 1 is right",
                written(breaker.error_share)
            ),
        ));
    }
    if breaker.window_ms == 0 {
        return Err(FieldError::new(
            "breaker.window_ms",
            "is 0; at least 1 is right",
        ));
    }
    Ok(breaker::Settings {
        minimum_requests: breaker.minimum_requests,
        error_share: breaker.error_share,
        window_us: u64::from(breaker.window_ms) * 1_000,
    })
}

/// # Errors
/// More buckets than there are.
pub fn holdout(holdout: &wire::Holdout) -> Result<Holdout, FieldError> {
    if holdout.buckets > BUCKETS {
        return Err(FieldError::new(
            "holdout.buckets",
            format!("are {}; at most {BUCKETS} are right", holdout.buckets),
        ));
    }
    Ok(Holdout {
        salt: holdout.salt.clone(),
        buckets: holdout.buckets,
    })
}

/// # Errors
/// No range of buckets.
pub fn layer(layer: &wire::Layer) -> Result<Layer, FieldError> {
    if layer.from >= layer.to || layer.to > BUCKETS {
        return Err(FieldError::new(
            "layer",
            format!(
                "is {}..{}; from < to <= {BUCKETS} is right",
                layer.from, layer.to
            ),
        ));
    }
    Ok(Layer {
        salt: layer.salt.clone(),
        from: layer.from,
        to: layer.to,
    })
}

/// # Errors
/// No name of a cluster, no share, an arm or segment that there is not.
pub fn shadow(
    shadow: &wire::Shadow,
    segment_index: &dyn Fn(&str) -> Option<usize>,
    arm_index: ArmIndex<'_>,
) -> Result<Shadow, FieldError> {
    // It goes into a header as it stands.
    let fits = |byte: u8| byte.is_ascii_graphic();
    if shadow.cluster.is_empty() || shadow.cluster.len() > 256 || !shadow.cluster.bytes().all(fits)
    {
        return Err(FieldError::new(
            "shadow.cluster",
            format!(
                "is `{}`; the name of a cluster in Envoy is right",
                shadow.cluster.escape_default()
            ),
        ));
    }
    let arms = shadow.arms.iter().enumerate();
    let arms = arms.map(|(index, arm)| arm_index(format!("shadow.arms[{index}]"), arm));
    let names = shadow.segments.iter().enumerate();
    let indices = names.map(|(index, name)| {
        segment_index(name).ok_or_else(|| {
            FieldError::new(
                format!("shadow.segments[{index}]"),
                format!("there is no segment `{name}`"),
            )
        })
    });
    Ok(Shadow {
        cluster: shadow.cluster.clone(),
        share: share("shadow.share", shadow.share)?,
        arms: arms.collect::<Result<_, _>>()?,
        segments: indices.collect::<Result<_, _>>()?,
    })
}

/// # Errors
/// What is no status.
pub fn errors(errors: &wire::Errors) -> Result<ErrorRule, FieldError> {
    let statuses = errors.statuses.iter().enumerate().map(|(index, text)| {
        ErrorRule::read_statuses(text).ok_or_else(|| {
            FieldError::new(
                format!("errors.statuses[{index}]"),
                format!(
                    "is `{}`; one such as 422 or 5xx is right",
                    text.escape_default()
                ),
            )
        })
    });
    Ok(ErrorRule {
        statuses: statuses.collect::<Result<_, _>>()?,
        grpc: errors.grpc_statuses.clone(),
        retried: errors.retried,
    })
}

/// # Errors
/// More than Envoy holds.
pub fn held_body(bytes: u32) -> Result<usize, FieldError> {
    if bytes > MOST_HELD_BYTES {
        return Err(FieldError::new(
            "max_held_body_bytes",
            format!("are {bytes}; at most {MOST_HELD_BYTES} are right"),
        ));
    }
    Ok(bytes as usize)
}
