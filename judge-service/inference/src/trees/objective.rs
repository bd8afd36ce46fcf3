//! From the sums of leaves to what a library's `predict` returns.

use super::number::Number;

/// The link of an objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Link {
    Identity,
    /// `1 / (1 + exp(-slope x))`, for each output.
    Logistic {
        slope: f64,
    },
    /// Over all outputs of a row.
    Softmax,
    Exp,
    /// `log(1 + exp(x))`: LightGBM's `cross_entropy_lambda`.
    LogOnePlusExp,
    /// `sign(x) x^2`: LightGBM's `regression` on square roots.
    SignedSquare,
}

impl Link {
    /// Turns one row of sums into outputs.
    pub(super) fn apply<T: Number>(self, sums: &[T]) -> Vec<f64> {
        let each = |link: fn(f64) -> f64| sums.iter().map(|sum| link(sum.wide())).collect();
        match self {
            Self::Identity => each(|x| x),
            Self::Logistic { slope } => {
                let logistic = |sum: &T| 1.0 / (1.0 + (-slope * sum.wide()).exp());
                sums.iter().map(logistic).collect()
            }
            Self::Softmax => softmax(sums),
            Self::Exp => each(f64::exp),
            Self::LogOnePlusExp => each(|x| x.exp().ln_1p()),
            Self::SignedSquare => each(|x| x * x.abs()),
        }
    }

    /// Whether one output is the probability of label 1 against label 0.
    pub(super) fn is_logistic(self) -> bool {
        matches!(self, Self::Logistic { .. })
    }
}

fn softmax<T: Number>(sums: &[T]) -> Vec<f64> {
    let largest = sums
        .iter()
        .map(|x| x.wide())
        .fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = sums.iter().map(|x| (x.wide() - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's math module.
    #[test]
    fn links_are_those_of_the_libraries() {
        let cases = [
            (Link::Identity, vec![-2.0, 3.0], vec![-2.0, 3.0]),
            (
                Link::Logistic { slope: 1.0 },
                vec![0.5],
                vec![0.622_459_331_201_854_6],
            ),
            (
                Link::Logistic { slope: 2.0 },
                vec![0.25],
                vec![0.622_459_331_201_854_6],
            ),
            (
                Link::Logistic { slope: 1.0 },
                vec![-800.0, 800.0],
                vec![0.0, 1.0],
            ),
            (Link::Softmax, vec![1000.0, 1000.0], vec![0.5, 0.5]),
            (Link::Exp, vec![1.0], vec![std::f64::consts::E]),
            (Link::LogOnePlusExp, vec![0.0], vec![std::f64::consts::LN_2]),
            (Link::SignedSquare, vec![-3.0, 2.0], vec![-9.0, 4.0]),
        ];
        for (link, sums, expected) in cases {
            for (found, right) in link.apply::<f64>(&sums).iter().zip(&expected) {
                assert!(
                    (found - right).abs() < 1e-15,
                    "{link:?}: {found} is not {right}"
                );
            }
        }
    }
}
