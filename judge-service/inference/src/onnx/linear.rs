//! `x W + b` over the last axis, with constant weights.

use candle_core::Tensor;

use super::direct::{After, Direct, Shape};
use super::values::{bounded, make, plain, read, words};
use super::window::{Activation, Grid};

/// A product with its weights, and what is joined to it.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    takes: usize,
    gives: usize,
    direct: Direct,
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
        Ok(Some(Self {
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
        let mut into = vec![0.0; bounded(&dims)?];
        let after = After {
            bias: self.bias.as_deref().unwrap_or_default(),
            activation: self.activation,
            pool: None,
        };
        read::<f32, _>(&plain(x)?, |numbers| {
            self.direct.rows(numbers, after, &mut into)
        })??;
        make(into, &dims)
    }
}
