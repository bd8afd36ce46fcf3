//! A sample on its way to the models.

use crate::service::models::Kit;
use serinus_core::sample::{Header, Sample};
use std::sync::Arc;
use std::time::Instant;

#[derive(Clone)]
pub struct Work {
    pub sample: Sample,
    /// Index of its arm.
    pub arm: usize,
    pub kit: Arc<Kit>,
    /// Another arm's answer to the same request: then the two are compared, and the sample
    /// alone is counted elsewhere.
    pub second: Option<Second>,
    /// When the judge got it.
    pub arrived: Instant,
}

#[derive(Clone)]
pub struct Second {
    pub arm: usize,
    pub body: Vec<u8>,
    pub headers: Vec<Header>,
}

/// The value of the first header of a name.
pub fn header<'a>(headers: &'a [Header], wanted: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    headers
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.as_str())
}

impl Work {
    /// What it takes of the memory, about.
    pub fn bytes(&self) -> usize {
        let of = |headers: &[Header]| -> usize {
            let both = headers.iter().map(|(name, value)| name.len() + value.len());
            both.sum()
        };
        let Sample {
            request,
            response,
            request_headers,
            response_headers,
            ..
        } = &self.sample;
        let second = self.second.as_ref();
        let second = second.map_or(0, |second| second.body.len() + of(&second.headers));
        size_of::<Self>()
            + request.len()
            + response.len()
            + of(request_headers)
            + of(response_headers)
            + second
    }

    pub fn arm_name(&self) -> &str {
        let name = self.kit.names.get(self.arm);
        name.map(String::as_str).unwrap_or_default()
    }
}
