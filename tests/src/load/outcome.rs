//! What became of one request, and whose fault a failure is.

use super::connections::Response;
use serde::Deserialize;

/// Which version answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arm {
    Control,
    Canary,
}

/// The versions that the two arms' servers name in their answers.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    pub control: &'static str,
    pub canary: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Milliseconds since 1970.
    pub sent_ms: u64,
    pub latency_us: u32,
    pub user: u32,
    /// The index of the image that was sent.
    pub image: u16,
    pub answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200 from a model.
    Served { arm: Arm, label: u8 },
    /// The model server's own failure, with its status: the release's fault or
    /// life's, and the same with or without Serinus.
    ModelServer(u16),
    /// Envoy answered in the model server's place.
    Envoy(u16),
    /// No answer at all, or none that can be read.
    Nothing,
}

impl Answer {
    /// Whether Serinus, or Envoy with Serinus in it, failed the request.
    #[must_use]
    pub fn is_our_fault(self) -> bool {
        matches!(self, Self::Envoy(_) | Self::Nothing)
    }

    pub(super) fn read(response: &Response, versions: &Versions) -> Self {
        match response.status {
            200..300 => served(&response.body, versions).unwrap_or(Self::Nothing),
            status if response.by_server => Self::ModelServer(status),
            status => Self::Envoy(status),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    model_version: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    data: Vec<f64>,
}

fn served(body: &[u8], versions: &Versions) -> Option<Answer> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let arm = match &body.model_version {
        version if version == versions.control => Arm::Control,
        version if version == versions.canary => Arm::Canary,
        _ => return None,
    };
    let output = body
        .outputs
        .iter()
        .find(|output| output.name == serinus_judge::inference::LABEL_OUTPUT)?;
    let label = *output.data.first()?;
    // Labels are digits; anything else is an answer that nobody can read.
    (0.0..10.0).contains(&label).then_some(Answer::Served {
        arm,
        label: label as u8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let versions = Versions {
            control: "v1",
            canary: "v2",
        };
        let body = br#"{"model_name": "digits", "model_version": "v2", "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [7]},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 0.9]}]}"#;
        let served_by_canary = Answer::Served {
            arm: Arm::Canary,
            label: 7,
        };
        assert_eq!(served(body, &versions), Some(served_by_canary));
        assert_eq!(served(b"{}", &versions), None);
    }
}
