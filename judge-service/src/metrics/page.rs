//! The text of OpenMetrics.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Names of labels, with their values.
pub type Labels = Vec<(&'static str, String)>;

pub struct Page(Registry);

impl Default for Page {
    fn default() -> Self {
        Self(Registry::with_prefix("serinus_judge"))
    }
}

impl Page {
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Values that only grow, while the judge runs; `_total` is added to the name.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(Labels::new(), value)]);
    }

    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Labels::new(), value)]);
    }

    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.0.register(name, help, histogram.clone());
    }

    /// What was counted as it happened.
    pub fn family(&mut self, name: &str, help: &str, family: &Family<Labels, Counter>) {
        self.0.register(name, help, family.clone());
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Into a string: cannot fail.
        let _ = text::encode(&mut text, &self.0);
        text
    }
}

/// One label.
pub fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.counter("things", "Things", 3);
        page.gauges("size", "Sizes", [(label("of", "a\"b"), 0.5)]);
        let text = page.text();
        for line in [
            "# TYPE serinus_judge_things counter",
            "serinus_judge_things_total 3",
            "serinus_judge_size{of=\"a\\\"b\"} 0.5",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
