//! From the bytes of a sample to inputs and answers.

use super::causes::Cause;
use super::work::{Second, Work, header};
use crate::inference::{self, Answer, Message, ProtocolError};
use crate::service::Service;
use crate::service::models::Kit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serinus_core::sample::Header;
use std::ops::Range;
use std::sync::Arc;

/// Inputs of a batch, apart for models with other inputs: in the places of
/// [`Kit::inputs_like`].
pub type Rows = Vec<Vec<Vec<f64>>>;

/// A sample that was read.
pub struct Read {
    pub work: Work,
    /// The request's body as the application wrote it.
    pub request: Vec<u8>,
    pub served: Served,
    /// The answer without what may not be kept, as far as that can still be read.
    pub kept: Served,
    /// The other arm's answer.
    pub second: Option<(usize, Served)>,
    /// Its rows among those of the batch; `None` where the request does not have what such
    /// models read.
    pub rows: Vec<Option<Range<usize>>>,
}

/// What a server answered; `None` where it was 200 OK and no answer: that is as wrong as
/// any other.
pub type Served = Option<Answer>;

/// Something of a sample that cannot be read.
pub struct Unreadable {
    pub kit: Arc<Kit>,
    pub rollout: String,
    pub arm: String,
    pub cause: Cause,
    pub problem: String,
    /// The body that it is about, as the application wrote it, as far as that is known.
    pub body: Option<Vec<u8>>,
}

// === impl Unreadable ===

impl Unreadable {
    pub fn new(
        work: &Work,
        cause: Cause,
        problem: impl Into<String>,
        body: Option<Vec<u8>>,
    ) -> Self {
        Self {
            kit: Arc::clone(&work.kit),
            rollout: work.sample.rollout.clone(),
            arm: work.arm_name().to_owned(),
            cause,
            problem: problem.into(),
            body,
        }
    }

    fn refused(work: &Work, error: &ProtocolError, message: &Message<'_>) -> Self {
        let body = message.decoded().ok().map(|body| body.into_owned());
        Self::new(
            work,
            Cause::Protocol(error.cause()),
            error.to_string(),
            body,
        )
    }

    pub fn count(self, service: &Service) {
        let kit = &self.kit;
        let may_be_kept = kit.keep_bytes > 0;
        let excerpt = self
            .body
            .filter(|_| may_be_kept)
            .and_then(|body| kit.redaction.excerpt(&body));
        // The problem may quote the body, so it is kept only where that may be.
        let problem = if may_be_kept && kit.redaction.is_empty() {
            self.problem
        } else {
            self.cause.name().to_owned()
        };
        let now = service.now();
        let mut live = service.live();
        live.counters.samples_unreadable += 1;
        if let Some(answers) = live.answers_of(&self.rollout, kit) {
            answers.unreadable(&self.arm, self.cause, problem, excerpt, now);
        }
    }
}

// === impl Read ===

impl Read {
    /// Reads a sample, and puts its inputs behind those of the batch. What is wrong with
    /// an answer alone goes to `wrong`.
    ///
    /// # Errors
    /// A request that its own arm's model cannot be asked with, or an answer that is too
    /// much to read: nothing can be said of those.
    pub fn sample(
        work: Work,
        rows: &mut Rows,
        wrong: &mut Vec<Unreadable>,
    ) -> Result<Self, Unreadable> {
        let Some(reader) = work.kit.arm(work.arm) else {
            return Err(Unreadable::new(&work, Cause::WithoutModel, "", None));
        };
        let decoded = (
            STANDARD.decode(&work.sample.request),
            STANDARD.decode(&work.sample.response),
        );
        let (Ok(request), Ok(response)) = decoded else {
            let problem = "the sample is not base64";
            return Err(Unreadable::new(&work, Cause::NotBase64, problem, None));
        };
        let asked = message(&request, &work.sample.request_headers);
        let inputs = reader
            .protocol
            .request(&asked)
            .map_err(|error| Unreadable::refused(&work, &error, &asked))?;
        let answered = message(&response, &work.sample.response_headers);
        let served = served(&work, work.arm, &answered, wrong)?;
        let second = match &work.second {
            None => None,
            Some(Second { arm, body, headers }) => {
                let answered = message(body, headers);
                Some((*arm, self::served(&work, *arm, &answered, wrong)?))
            }
        };
        let kit = &work.kit;
        let own = kit.inputs_like(work.arm);
        let mut inputs = Some(inputs);
        let places = rows.iter_mut().enumerate().map(|(like, rows)| {
            let read = if like == own {
                inputs.take()
            } else if kit.inputs_like(like) == like {
                kit.arm(like)?.protocol.request(&asked).ok()
            } else {
                None
            };
            let start = rows.len();
            rows.extend(read?);
            Some(start..rows.len())
        });
        let places = places.collect();
        let body = asked.decoded().map(|body| body.into_owned());
        let kept = match kit.redaction.is_empty() {
            true => served.clone(),
            false => answered.decoded().ok().and_then(|body| {
                let redacted = serde_json::to_vec(&kit.redaction.of(&body)?).ok()?;
                let reader = kit.arm(work.arm)?;
                reader.protocol.response(&Message::new(&redacted)).ok()
            }),
        };
        Ok(Self {
            kept,
            request: body.unwrap_or_default(),
            served,
            second,
            rows: places,
            work,
        })
    }

    /// Its rows for an arm's model.
    pub fn rows_of(&self, arm: usize) -> Option<Range<usize>> {
        let like = self.work.kit.inputs_like(arm);
        self.rows.get(like)?.clone()
    }
}

/// # Errors
/// An answer that is too large to read, or written in a way that nobody here reads.
fn served(
    work: &Work,
    arm: usize,
    answer: &Message<'_>,
    wrong: &mut Vec<Unreadable>,
) -> Result<Served, Unreadable> {
    let Some(reader) = work.kit.arm(arm) else {
        return Err(Unreadable::new(work, Cause::WithoutModel, "", None));
    };
    let error = match reader.protocol.response(answer) {
        Ok(answer) => return Ok(Some(answer)),
        Err(error) => error,
    };
    let mut unreadable = Unreadable::refused(work, &error, answer);
    unreadable.arm = work.kit.names.get(arm).cloned().unwrap_or_default();
    match error.cause() {
        inference::Cause::TooLarge | inference::Cause::UnknownEncoding => Err(unreadable),
        _ => {
            wrong.push(unreadable);
            Ok(None)
        }
    }
}

pub fn message<'a>(body: &'a [u8], headers: &'a [Header]) -> Message<'a> {
    Message {
        body,
        content_encoding: header(headers, "content-encoding"),
        header_length: header(headers, "inference-header-content-length")
            .and_then(|length| length.trim().parse().ok()),
    }
}
