//! Which answers of an upstream are errors.

/// The rule of one rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    /// Statuses, both ends inclusive.
    pub statuses: Vec<(u16, u16)>,
    /// gRPC statuses; `None` is all but OK.
    pub grpc: Option<Vec<u32>>,
    /// Whether an answer that took a retry is one: the version failed once.
    pub retried: bool,
}

impl Default for ErrorRule {
    fn default() -> Self {
        Self {
            statuses: vec![(500, 599)],
            grpc: None,
            retried: false,
        }
    }
}

impl ErrorRule {
    #[must_use]
    pub fn status_is_error(&self, status: u16) -> bool {
        self.statuses
            .iter()
            .any(|&(from, to)| (from..=to).contains(&status))
    }

    #[must_use]
    pub fn grpc_is_error(&self, status: u32) -> bool {
        match &self.grpc {
            None => status != 0,
            Some(statuses) => statuses.contains(&status),
        }
    }

    /// Reads `422`, or `5xx` for a whole class.
    #[must_use]
    pub fn read_statuses(text: &str) -> Option<(u16, u16)> {
        let class = text.strip_suffix("xx");
        let (from, to) = match class {
            Some(class) => {
                let first = class.parse::<u16>().ok().filter(|first| *first < 10)? * 100;
                (first, first + 99)
            }
            None => {
                let status = text.parse().ok()?;
                (status, status)
            }
        };
        (100..=599).contains(&from).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_all_5xx_and_every_grpc_status_but_ok() {
        let rule = ErrorRule::default();
        assert!(rule.status_is_error(500) && rule.status_is_error(599));
        assert!(!rule.status_is_error(422) && !rule.status_is_error(200));
        assert!(rule.grpc_is_error(14) && !rule.grpc_is_error(0));
        let own = ErrorRule {
            grpc: Some(vec![14]),
            ..ErrorRule::default()
        };
        assert!(own.grpc_is_error(14) && !own.grpc_is_error(5));
    }

    #[test]
    fn statuses_and_classes() {
        for (text, range) in [
            ("422", Some((422, 422))),
            ("4xx", Some((400, 499))),
            ("5xx", Some((500, 599))),
            ("6xx", None),
            ("0xx", None),
            ("99", None),
            ("xx", None),
            ("655xx", None),
            ("", None),
            ("-5", None),
        ] {
            assert_eq!(ErrorRule::read_statuses(text), range, "{text}");
        }
    }
}
