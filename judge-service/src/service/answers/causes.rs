//! Why nothing can be said of a sample, and why a sample has no pair. Their names are keys of
//! what is shown, so they stay.

use crate::inference;

/// Why something of a sample cannot be read, or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Of the request's or the answer's body.
    Protocol(inference::Cause),
    WithoutModel,
    NotBase64,
    /// The request has not what the other arm's model reads.
    OtherInputs,
    /// The model does not take the input.
    NotTaken,
}

/// Why a sample's request has no second answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPair {
    /// More came than the rollout lets be sent again.
    Rate,
    NoMethod,
    MethodNotAllowed,
    NoEndpoint,
    NoPath,
    OtherPath,
    NotBase64,
    TooManyUnderWay,
    Timeout,
    Unreachable,
    BrokenOff,
    ErrorStatus,
    TooLarge,
    /// It was answered, and the queue was full.
    Shed,
}

// === impl Cause ===

impl Cause {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocol(cause) => cause.name(),
            Self::WithoutModel => "without_model",
            Self::NotBase64 => "not_base64",
            Self::OtherInputs => "other_inputs",
            Self::NotTaken => "not_taken",
        }
    }
}

// === impl NoPair ===

impl NoPair {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::NoMethod => "no_method",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoEndpoint => "no_endpoint",
            Self::NoPath => "no_path",
            Self::OtherPath => "other_path",
            Self::NotBase64 => "not_base64",
            Self::TooManyUnderWay => "too_many_under_way",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken_off",
            Self::ErrorStatus => "error_status",
            Self::TooLarge => "too_large",
            Self::Shed => "shed",
        }
    }
}
