//! What was found, as tables for people.

use crate::report::{OURS, Report};
use crate::whole;
use serde_json::Value;
use serinus_sim::rules::needed;
use serinus_sim::worlds::BASE;
use std::fmt::Write as _;

impl Report {
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let text = &mut out;
        line(text, "# Simulations");
        line(
            text,
            &format!(
                "\nWritten by `make sim` (seed {}, {} runs of each world without a \
                 regression, half or a quarter as many with one, {:.0} s). Control has 1% \
                 errors and the canary 10% of users unless a world says otherwise; a world \
                 lasts 250,000 requests, which are 10,000 looks of 25. Upper bounds are \
                 Clopper and Pearson's, one-sided at 95%.",
                self.seed, self.runs, self.seconds
            ),
        );
        self.markdown_figures(text);
        self.markdown_rollback(text);
        self.markdown_detection(text);
        self.markdown_other(text);
        self.markdown_promotion(text);
        whole::markdown(&self.whole, text);
        out
    }

    fn markdown_figures(&self, text: &mut String) {
        let figures = self.figures();
        line(text, "\n## Where it must get to\n");
        line(text, "| figure | wanted | found |\n| --- | --- | --- |");
        let number = |key: &str| figures.get(key).and_then(Value::as_f64);
        let all = figures.as_object().into_iter().flatten();
        let worst = all.filter(|(key, _)| key.starts_with("false_rollback_upper95"));
        let worst = worst.filter_map(|(key, value)| Some((key, value.as_f64()?)));
        if let Some((key, upper)) = worst.max_by(|a, b| a.1.total_cmp(&b.1)) {
            let world = key.trim_start_matches("false_rollback_upper95_");
            line(
                text,
                &format!(
                    "| false rollback at alpha 5%, upper bound, worst world ({world}) | at \
                     most 5% | {} |",
                    percent(upper)
                ),
            );
        }
        for (key, words, wanted) in [
            (
                "detection_to_oracle_iid",
                "mean detection over the oracle's, alpha 0.001, worst of x5, x2 and x1.5",
                "at most 1.25",
            ),
            (
                "detection_to_oracle_iid_one_process",
                "the same without the price of restarts",
                "",
            ),
        ] {
            if let Some(ratio) = number(key) {
                line(text, &format!("| {words} | {wanted} | {ratio:.3} |"));
            }
        }
        for (key, words) in [
            (
                "false_promotion_upper95",
                "false promotion at the margin 1.5, alpha 5%, upper bound, worst case, as \
                 policy has it",
            ),
            (
                "false_promotion_upper95_sequence_alone",
                "the same, all of alpha for the sequence",
            ),
        ] {
            if let Some(upper) = number(key) {
                line(
                    text,
                    &format!("| {words} | at most 5% | {} |", percent(upper)),
                );
            }
        }
        if let Some(upper) = number("whole_false_rollback_upper95") {
            line(
                text,
                &format!(
                    "| a good version taken back by the whole judge at its defaults (alpha \
                     1%), upper bound of all cases together | | {} |",
                    percent(upper)
                ),
            );
        }
        if let Some(milliseconds) = self.evaluation {
            line(
                text,
                &format!(
                    "| one evaluation of a rollout with 3 arms, 8 segments, 6 metrics and 5 \
                     epochs, as `make build` builds the judge | | {milliseconds:.2} ms |"
                ),
            );
        }
    }

    fn markdown_rollback(&self, text: &mut String) {
        if self.rollback.is_empty() {
            return;
        }
        line(text, "\n## Good canaries taken back\n");
        line(
            text,
            "![Share of good canaries taken back over requests, by rule](false-rollbacks.svg)\n",
        );
        line(
            text,
            "`ours` tolerates nothing here, so that an equal canary is the worst that the \
             null allows; with the judge's default (a ratio of 1.1) fewer are taken back.\n",
        );
        line(
            text,
            "| world | what is so | ours, alpha 5% | upper bound | alpha 0.1% | 1.1 \
             tolerated | one process | each error counts |\n| --- | --- | --- | --- | --- | \
             --- | --- | --- |",
        );
        for row in &self.rollback {
            let rate = |rule: &str| {
                row.rule(rule)
                    .map_or("-".to_owned(), |times| percent(times.rate()))
            };
            let upper = row
                .rule(OURS)
                .map_or("-".to_owned(), |times| percent(times.upper95()));
            line(
                text,
                &format!(
                    "| {} | {} | {} | {upper} | {} | {} | {} | {} |",
                    row.world.name,
                    row.world.words,
                    rate(OURS),
                    rate("ours, alpha 0.001"),
                    rate("ours, 1.1 tolerated, alpha 0.05"),
                    rate("one process, alpha 0.05"),
                    rate("each error counts, alpha 0.05")
                ),
            );
        }
        line(
            text,
            "\n`late_control_known_alone` shows what breaks the rule: when control's errors \
             are known later than the canary's, every process begins with canary's errors \
             alone. `late_control` is the same world judged as the judge does it: requests \
             of control that are under way, beyond as many as the canary has for its share, \
             count as failed until they end. An error of control only ever weakens the \
             evidence, so it stays below that of the exact process.\n",
        );
        line(
            text,
            "Peers in the same runs, at 1,000 requests a minute (250 minutes):\n",
        );
        let with_peers = || {
            self.rollback
                .iter()
                .filter(|row| row.rule("Flagger's rule").is_some())
        };
        let names: Vec<&str> = with_peers().map(|row| row.world.name).collect();
        line(
            text,
            &format!(
                "| rule | {} |\n| --- |{}",
                names.join(" | "),
                " --- |".repeat(names.len())
            ),
        );
        let peers = with_peers()
            .next()
            .into_iter()
            .flat_map(|row| &row.rules)
            .skip(6)
            .map(|(name, _)| name);
        for name in std::iter::once(&OURS.to_owned()).chain(peers) {
            let rates: Vec<String> = with_peers()
                .map(|row| {
                    row.rule(name)
                        .map_or("-".to_owned(), |times| percent(times.rate()))
                })
                .collect();
            line(text, &format!("| {name} | {} |", rates.join(" | ")));
        }
        line(
            text,
            "\nThe fixed horizon is one look after 12,798 requests. Flagger's and Argo \
             Rollouts' limits are compared with minutes of 100 canary requests on average: \
             of 99 requests two errors are more than 2%, and so an hour holds more failed \
             checks than with exactly 100 (a test of the engine has those). Kayenta judges \
             the error rate for an increase, and pays for its few false alarms in \
             detection, below. In `simpson` the canary is better than control at every \
             step, and pooling says the opposite.",
        );
    }

    fn markdown_detection(&self, text: &mut String) {
        if self.detection.is_empty() {
            return;
        }
        line(text, "\n## Bad canaries taken back\n");
        line(
            text,
            "![Requests until a bad canary is taken back, by rule](detection.svg)\n",
        );
        line(
            text,
            "Requests of both arms; median and 90% of all runs, and how many were caught at all.\n",
        );
        line(
            text,
            "| world | errors | rule | median | 90% | mean | caught |\n| --- | --- | --- | \
             --- | --- | --- | --- |",
        );
        for row in &self.detection {
            for (name, times) in &row.rules {
                if name.starts_with("one process") && name != "one process, alpha 0.01" {
                    continue;
                }
                line(
                    text,
                    &format!(
                        "| {} | x{} | {name} | {} | {} | {} | {} |",
                        row.world.name,
                        row.world.ratio,
                        requests(times.quantile(0.5)),
                        requests(times.quantile(0.9)),
                        requests((times.hits() == times.runs()).then(|| times.mean(row.end()))),
                        percent(times.rate())
                    ),
                );
            }
        }
        let fixed = [5.0, 2.0, 1.5].map(|ratio| requests(Some(needed(BASE, ratio, 0.1))));
        line(
            text,
            &format!(
                "\nA fixed horizon with 80% power takes {} requests for x5, x2 and x1.5, if \
                 it is known beforehand which of them it is.",
                fixed.join(", ")
            ),
        );
        let caught = |world: &str| {
            let rows = self.detection.iter();
            let mut rows = rows.filter(|row| row.world.name == world && row.world.ratio == 2.0);
            let row = rows.next()?;
            let rule = |alpha: f64| row.rule(&format!("ours, alpha {alpha}"));
            Some((
                percent(rule(0.05)?.rate()),
                percent(rule(0.01)?.rate()),
                percent(rule(0.001)?.rate()),
            ))
        };
        if let (Some(few), Some(many)) = (caught("hundred_requests"), caught("users_differ")) {
            line(
                text,
                &format!(
                    "\n**Where users differ and are few, power is low.** Three quarters of \
                     all errors are those of the 5% of users who err anyway. Each of them \
                     counts once, and then the process has only the others left to learn \
                     from. Twice the errors were caught within 250,000 requests in {}, {} \
                     and {} of runs (alpha 5%, 1%, 0.1%) with 2,500 users of 100 requests \
                     each, and in {}, {} and {} with 20,000 users. A rule that counts every \
                     error sees more, and takes good canaries back as often as the table \
                     above says. What is not taken back is not promoted for that: promotion \
                     asks for the opposite to be shown.",
                    few.0, few.1, few.2, many.0, many.1, many.2
                ),
            );
        }
        line(
            text,
            "\nIn `iid` 1,000,000 requests were waited for, elsewhere 250,000, and in \
             `third_step` those of the third step; no mean is given where a run did not end \
             by then.",
        );
    }

    fn markdown_other(&self, text: &mut String) {
        if self.other.is_empty() {
            return;
        }
        line(
            text,
            "\n## Latency, mismatches, sparse errors, drift, lost users\n",
        );
        line(
            text,
            "Durations are lognormal with a deviation of 0.5, thresholds are control's own \
             quantiles and no slowdown is tolerated. Sparse errors are those of \
             kayenta#426: minutes without an error look the same whoever is worse. Drift and \
             lost users give an alarm, for which `taken back` stands, and requests are new \
             users.\n",
        );
        line(
            text,
            "| world | what is so | rule | taken back | upper bound | median | 90% |\n| --- \
             | --- | --- | --- | --- | --- | --- |",
        );
        for row in &self.other {
            line(
                text,
                &format!(
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    row.name,
                    row.words,
                    row.rule,
                    percent(row.times.rate()),
                    percent(row.times.upper95()),
                    requests(row.times.quantile(0.5)),
                    requests(row.times.quantile(0.9))
                ),
            );
        }
    }

    fn markdown_promotion(&self, text: &mut String) {
        if self.promotion.is_empty() {
            return;
        }
        line(text, "\n## Promotion\n");
        line(
            text,
            "A look every 1,000 requests, the gate of 50 events. `policy` is the sequence \
             or the absolute bound of 1%, half of alpha each; `sequence` has all of it. \
             Answers that are too slow have the sequence alone: at the margin as many of \
             the canary's are above the threshold that stands 25% higher as of control's \
             above its own.\n",
        );
        line(
            text,
            "| world | what is so | canary's rate | margin | policy promotes | upper bound | \
             sequence promotes | upper bound | pooled sequence promotes | median requests, \
             policy | sequence |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | \
             --- |",
        );
        for row in &self.promotion {
            let (policy, sequence) = (&row.policy, &row.sequence);
            line(
                text,
                &format!(
                    "| {} | {} | x{} | x{} | {} | {} | {} | {} | {} | {} | {} |",
                    row.promotion.name,
                    row.promotion.words,
                    row.promotion.ratio,
                    row.promotion.margin,
                    percent(policy.rate()),
                    percent(policy.upper95()),
                    percent(sequence.rate()),
                    percent(sequence.upper95()),
                    percent(row.pooled.rate()),
                    requests(policy.quantile(0.5)),
                    requests(sequence.quantile(0.5))
                ),
            );
        }
    }
}

pub fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

pub fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// With separators, as a person writes it.
pub fn requests(number: Option<f64>) -> String {
    let Some(number) = number else {
        return "-".to_owned();
    };
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let written = [7.4, 975.0, 1_000.0, 1_234_567.0].map(|number| requests(Some(number)));
        assert_eq!(written, ["7", "975", "1,000", "1,234,567"]);
        assert_eq!(requests(None), "-");
        assert_eq!(percent(0.0354), "3.54%");
    }
}
