//! `x W + b` over the last axis, with constant weights.

use candle_core::Tensor;

use super::conv::numbers;
use super::direct::{After, Direct, Shape};
use super::matrix::{View, multiply};
use super::values::{bounded, make, plain, read, words};
use super::window::{Activation, Grid};

/// Up to so many weights, and from so many rows on, `gemm` multiplies: with the direct loops
/// in its place the digits' MLP took 6 % longer for a batch of 64.
const SMALL: usize = 64 * 64;
const MANY: usize = 16;

/// A product with its weights, and what is joined to it.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    takes: usize,
    gives: usize,
    direct: Direct,
    /// The weights once more, if they are few: [takes, gives].
    small: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    activation: Option<Activation>,
}

// === impl Linear ===

impl Linear {
    /// The weight is [takes, gives]; `None` if it is empty or no matrix, or the bias does
    /// not fit.
    ///
    /// # Errors
    /// Weights that are not float32.
    pub(super) fn new(weight: &Tensor, bias: Option<Vec<f32>>) -> Result<Option<Self>, String> {
        let &[takes, gives] = weight.dims() else {
            return Ok(None);
        };
        if takes == 0 || gives == 0 || bias.as_ref().is_some_and(|bias| bias.len() != gives) {
            return Ok(None);
        }
        let shape = Shape {
            groups: 1,
            channels: takes,
            outputs: gives,
        };
        let turned = weight.t().and_then(|weight| weight.contiguous());
        let direct = read::<f32, _>(&turned.map_err(words)?, |weights| {
            Direct::new(shape, Grid::PLAIN, weights)
        })??;
        let small = (takes * gives <= SMALL).then(|| numbers(weight));
        Ok(Some(Self {
            small: small.transpose()?,
            takes,
            gives,
            direct,
            bias,
            activation: None,
        }))
    }

    /// Whether nothing is joined to it but a bias.
    pub(super) fn is_bare(&self) -> bool {
        self.activation.is_none()
    }

    pub(super) fn activate(&mut self, activation: Activation) {
        self.activation = Some(activation);
    }

    /// Adds a bias; whether it can.
    pub(super) fn shift(&mut self, bias: Vec<f32>) -> bool {
        let fits = self.bias.is_none() && self.is_bare() && bias.len() == self.gives;
        if fits {
            self.bias = Some(bias);
        }
        fits
    }

    /// Takes images of so many channels with the channels last, and no longer first; whether
    /// it can.
    pub(super) fn take_channels_last(&mut self, channels: usize) -> bool {
        let fits = channels > 0 && self.takes.is_multiple_of(channels);
        if fits {
            // The copy is in the old order; the convolution before is most of the work.
            self.small = None;
            let pixels = self.takes / channels;
            self.direct
                .reorder(|at| at % channels * pixels + at / channels);
        }
        fits
    }

    /// # Errors
    /// Rows of another width.
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, String> {
        let mut dims = x.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last == self.takes) else {
            return Err(format!(
                "has an input of shape {:?}, but takes rows of {}",
                x.dims(),
                self.takes
            ));
        };
        *last = self.gives;
        let total = bounded(&dims)?;
        let after = After {
            bias: self.bias.as_deref().unwrap_or_default(),
            activation: self.activation,
            pool: None,
        };
        let rows = total / self.gives;
        let into = read::<f32, _>(&plain(x)?, |numbers| match &self.small {
            Some(weights) if rows >= MANY => self.few(numbers, weights, rows),
            _ => {
                let mut into = vec![0.0; total];
                self.direct.rows(numbers, after, &mut into)?;
                Ok(into)
            }
        })??;
        make(into, &dims)
    }

    /// Few weights, many rows.
    fn few(&self, numbers: &[f32], weights: &[f32], rows: usize) -> Result<Vec<f32>, String> {
        let mut into = match &self.bias {
            // Written once, and not zeroed before.
            Some(bias) => bias.repeat(rows),
            None => vec![0.0; rows * self.gives],
        };
        let weights = View::rows(weights, self.takes, self.gives);
        let numbers = View::rows(numbers, rows, self.takes);
        multiply(&mut into, numbers, weights, self.bias.is_some())?;
        if let Some(activation) = self.activation {
            super::wide::wide(|| activation.apply(&mut into));
        }
        Ok(into)
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::{from_channels_last, to_channels_last};
    use super::*;

    fn waves(dims: &[usize]) -> Tensor {
        let total: usize = dims.iter().product();
        let numbers = (0..total).map(|at| (at as f32 * 0.7).sin()).collect();
        make::<f32>(numbers, dims).unwrap()
    }

    fn assert_close(found: &Tensor, right: &Tensor) {
        assert_eq!(found.dims(), right.dims());
        let all = |x: &Tensor| read::<f32, _>(&plain(x).unwrap(), <[f32]>::to_vec).unwrap();
        for (found, right) in all(found).iter().zip(all(right)) {
            assert!((found - right).abs() < 1e-4, "{found} is not {right}");
        }
    }

    /// candle's own product is the other implementation.
    #[test]
    fn products_are_candles() {
        for (takes, gives) in [(1, 1), (3, 20), (16, 16), (30, 33), (64, 10), (9_500, 5)] {
            let weight = waves(&[takes, gives]);
            let bias: Vec<f32> = (0..gives).map(|at| at as f32).collect();
            let shift = make(bias.clone(), &[gives]).unwrap();
            let mut linear = Linear::new(&weight, None).unwrap().unwrap();
            for rows in [1, 2, 8, 15, 64, 130] {
                let x = waves(&[rows, takes]);
                assert_close(&linear.run(&x).unwrap(), &x.matmul(&weight).unwrap());
            }
            assert!(linear.shift(bias.clone()) && !linear.shift(bias));
            linear.activate(Activation::Relu);
            let x = waves(&[3, 5, takes]);
            let rows = x.reshape((15, takes)).unwrap();
            let right = rows.matmul(&weight).unwrap().broadcast_add(&shift).unwrap();
            let right = right.relu().unwrap().reshape((3, 5, gives)).unwrap();
            assert_close(&linear.run(&x).unwrap(), &right);
        }
    }

    #[test]
    fn images_may_stay_channels_last() {
        let [n, c, h, w] = [3, 5, 4, 6];
        let (x, weight) = (waves(&[n, c, h, w]), waves(&[c * h * w, 20]));
        let mut linear = Linear::new(&weight, None).unwrap().unwrap();
        let right = linear.run(&x.reshape((n, c * h * w)).unwrap()).unwrap();
        assert!(!linear.take_channels_last(7) && linear.take_channels_last(c));
        let last = to_channels_last(&x).unwrap();
        assert_close(
            &linear.run(&last.reshape((n, c * h * w)).unwrap()).unwrap(),
            &right,
        );
        let numbers = read::<f32, _>(&last, <[f32]>::to_vec).unwrap();
        let image = from_channels_last(numbers, [n, c, h, w]).unwrap();
        let flat = super::super::shaping::flatten(&to_channels_last(&image).unwrap(), 1).unwrap();
        assert_close(&linear.run(&flat).unwrap(), &right);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Linear::new(&waves(&[2, 2, 2]), None).unwrap().is_none());
        assert!(
            Linear::new(&waves(&[2, 2]), Some(vec![1.0]))
                .unwrap()
                .is_none()
        );
        let linear = Linear::new(&waves(&[2, 3]), None).unwrap().unwrap();
        let error = linear.run(&waves(&[4, 3])).unwrap_err();
        assert!(error.contains("takes rows of 2"), "{error}");
    }
}
