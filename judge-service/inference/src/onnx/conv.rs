//! Convolution, in one of three ways: of single pixels it is a product, of single channels
//! sums along them, and everything else goes tap by tap over the image.

mod depthwise;

use candle_core::Tensor;

use super::direct::{After, Direct, Image, Shape};
use super::pool::Pool;
use super::values::{bounded, channels_last, from_channels_last, read, to_channels_last, words};
use super::window::{Activation, Grid, Window};
use depthwise::Depthwise;

/// A convolution with its weights, and what is joined to it.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    grid: Grid,
    shape: Shape,
    way: Way,
    bias: Vec<f32>,
    activation: Option<Activation>,
    /// Of what the activation gives.
    pool: Option<Pool>,
    /// Over one axis: images of height 1.
    flat: bool,
}

#[derive(Debug, Clone)]
enum Way {
    /// A kernel of one pixel: rows are pixels.
    Plain(Direct),
    Depthwise(Depthwise),
    Direct(Direct),
}

// === impl Conv ===

impl Conv {
    /// `weight` is [outputs, channels of a group, height, width] or without height.
    ///
    /// # Errors
    /// Shapes that do not fit each other.
    pub(super) fn new(
        window: &Window,
        groups: usize,
        weight: &Tensor,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, String> {
        let dims = weight.dims();
        let (outputs, channels, kernel) = match *dims {
            [outputs, channels, width] => (outputs, channels, vec![width]),
            [outputs, channels, height, width] => (outputs, channels, vec![height, width]),
            _ => {
                return Err(format!(
                    "has weights of shape {dims:?}, but must be over one or two axes"
                ));
            }
        };
        if window.kernel.as_ref().is_some_and(|known| *known != kernel) {
            return Err(format!(
                "has kernel_shape {:?}, but weights of shape {dims:?}",
                window.kernel
            ));
        }
        if groups == 0 || outputs == 0 || channels == 0 || outputs % groups != 0 {
            return Err(format!(
                "has {groups} groups, which do not divide weights of shape {dims:?}"
            ));
        }
        let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
        if bias.len() != outputs {
            return Err(format!("has {} biases for {outputs} outputs", bias.len()));
        }
        let grid = window.grid(&kernel)?;
        let shape = Shape {
            groups,
            channels: channels * groups,
            outputs,
        };
        Ok(Self {
            grid,
            shape,
            way: Way::new(grid, shape, weight)?,
            bias,
            activation: None,
            pool: None,
            flat: kernel.len() == 1,
        })
    }

    /// Does `x * scale + shift` to each output as well: a batch normalisation.
    pub(super) fn scale(&mut self, scale: &[f32], shift: &[f32]) {
        match &mut self.way {
            Way::Depthwise(depthwise) => depthwise.scale(scale),
            Way::Plain(direct) | Way::Direct(direct) => direct.scale(scale),
        }
        for ((bias, scale), shift) in self.bias.iter_mut().zip(scale).zip(shift) {
            *bias = *bias * scale + shift;
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// Whether nothing is joined to it, so that anything may be.
    pub(super) fn is_bare(&self) -> bool {
        self.activation.is_none() && self.pool.is_none()
    }

    /// Whether it is over one axis.
    pub(super) fn is_flat(&self) -> bool {
        self.flat
    }

    pub(super) fn activate(&mut self, activation: Activation) {
        self.activation = Some(activation);
    }

    /// Pools what it gives; whether it can.
    pub(super) fn pool(&mut self, pool: &Pool) -> bool {
        let fits = self.pool.is_none() && pool.is_flat() == self.flat && pool.is_banded();
        if fits {
            self.pool = Some(pool.clone());
        }
        fits
    }

    /// Images [n, channels, height, width] to [n, outputs, height, width].
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, String> {
        if !self.flat {
            return self.images(x);
        }
        let &[n, channels, width] = x.dims() else {
            return Err(format!(
                "has an input of shape {:?}, but must have [n, channels, width]",
                x.dims()
            ));
        };
        let x = x.reshape((n, channels, 1, width)).map_err(words)?;
        self.images(&x)?.squeeze(2).map_err(words)
    }

    fn images(&self, x: &Tensor) -> Result<Tensor, String> {
        let &[_, channels, height, width] = x.dims() else {
            return Err(format!(
                "has an input of shape {:?}, but must have [n, channels, height, width]",
                x.dims()
            ));
        };
        if channels != self.shape.channels {
            return Err(format!(
                "has an input of {channels} channels, but weights for {}",
                self.shape.channels
            ));
        }
        let size = self.grid.output([height, width], false)?;
        let Some(pool) = &self.pool else {
            return self.sums(x, size, None);
        };
        let pooled = pool.output(size)?;
        if matches!(self.way, Way::Direct(_)) && pool.is_inside(size, pooled) {
            return self.sums(x, pooled, Some(pool));
        }
        pool.images(&self.sums(x, size, None)?)
    }

    /// An output of that size, pooled or not.
    fn sums(&self, x: &Tensor, size: [usize; 2], pool: Option<&Pool>) -> Result<Tensor, String> {
        let &[n, channels, height, width] = x.dims() else {
            return Err("has an input that is no image".to_owned());
        };
        let outputs = self.shape.outputs;
        let mut into = vec![0.0; bounded(&[n, size[0], size[1], outputs])?];
        let after = After {
            bias: &self.bias,
            activation: self.activation,
            pool,
        };
        match &self.way {
            Way::Direct(direct) => {
                let (x, image) = match channels_last(x) {
                    Some(last) => (last, Image::last([height, width], channels)),
                    None => (
                        x.contiguous().map_err(words)?,
                        Image::first([height, width], channels),
                    ),
                };
                read::<f32, _>(&x, |numbers| {
                    direct.run(numbers, image, size, after, &mut into)
                })??;
            }
            Way::Plain(direct) => {
                let last = to_channels_last(x)?;
                read::<f32, _>(&last, |numbers| direct.rows(numbers, after, &mut into))??;
            }
            Way::Depthwise(depthwise) => {
                let last = to_channels_last(x)?;
                read::<f32, _>(&last, |numbers| {
                    depthwise.run(numbers, [height, width], size, after, &mut into)
                })??;
            }
        }
        from_channels_last(into, [n, outputs, size[0], size[1]])
    }
}

// === impl Way ===

impl Way {
    fn new(grid: Grid, shape: Shape, weight: &Tensor) -> Result<Self, String> {
        let weights = numbers(weight)?;
        if grid.is_plain() && shape.groups == 1 {
            return Ok(Self::Plain(Direct::new(shape, grid, &weights)?));
        }
        if (shape.outputs_of_group(), shape.channels_of_group()) == (1, 1) && shape.groups > 1 {
            return Ok(Self::Depthwise(Depthwise::new(
                grid,
                shape.channels,
                weight,
            )?));
        }
        Ok(Self::Direct(Direct::new(shape, grid, &weights)?))
    }
}

/// A constant tensor's numbers.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let tensor = tensor.contiguous().map_err(words)?;
    read::<f32, _>(&tensor, <[f32]>::to_vec)
}

#[cfg(test)]
mod tests;
