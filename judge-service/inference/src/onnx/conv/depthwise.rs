//! One channel in and one out, for each channel: sums along the channels.

use candle_core::Tensor;

use super::super::direct::After;
use super::super::values::{bounded, words};
use super::super::wide::wide;
use super::super::window::Grid;
use super::numbers;

/// The weights of such a convolution.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    grid: Grid,
    channels: usize,
    /// [kernel height, kernel width, channels]
    weights: Vec<f32>,
}

// === impl Depthwise ===

impl Depthwise {
    /// `weight` is [channels, 1, height, width] or without height.
    pub(super) fn new(grid: Grid, channels: usize, weight: &Tensor) -> Result<Self, String> {
        let taps = grid.kernel.iter().product::<usize>();
        let turned = weight
            .reshape((channels, taps))
            .and_then(|weight| weight.t());
        Ok(Self {
            grid,
            channels,
            weights: numbers(&turned.map_err(words)?)?,
        })
    }

    pub(super) fn scale(&mut self, scale: &[f32]) {
        for row in self.weights.chunks_mut(self.channels) {
            row.iter_mut()
                .zip(scale)
                .for_each(|(weight, scale)| *weight *= scale);
        }
    }

    /// Images [height, width, channels], one after the other.
    pub(super) fn run(
        &self,
        numbers: &[f32],
        size: [usize; 2],
        [high, columns]: [usize; 2],
        after: After<'_>,
        into: &mut [f32],
    ) -> Result<(), String> {
        let mut padded = Padded::new(&self.grid, size, self.channels)?;
        let images = numbers.chunks_exact((size[0] * size[1] * self.channels).max(1));
        let outputs = into.chunks_exact_mut((high * columns * self.channels).max(1));
        for (image, into) in images.zip(outputs) {
            padded.fill(image);
            wide(|| {
                for pixel in into.chunks_exact_mut(self.channels) {
                    pixel.copy_from_slice(after.bias);
                }
                self.image(&padded, columns, into);
                if let Some(activation) = after.activation {
                    activation.apply(into);
                }
            });
        }
        Ok(())
    }

    #[inline(always)]
    fn image(&self, image: &Padded, columns: usize, into: &mut [f32]) {
        let [_, kernel_width] = self.grid.kernel;
        for (pixel, sums) in into.chunks_exact_mut(self.channels).enumerate() {
            let (row, column) = (
                pixel / columns * self.grid.stride[0],
                pixel % columns * self.grid.stride[1],
            );
            let taps = self.grid.kernel.iter().product::<usize>();
            for tap in 0..taps {
                let down = row + tap / kernel_width * self.grid.dilation[0];
                let right = column + tap % kernel_width * self.grid.dilation[1];
                let start = (down * image.width + right) * self.channels;
                let numbers = image
                    .numbers
                    .get(start..start + self.channels)
                    .unwrap_or_default();
                let weights = self.weights.get(tap * self.channels..).unwrap_or_default();
                for ((sum, x), weight) in sums.iter_mut().zip(numbers).zip(weights) {
                    *sum += x * weight;
                }
            }
        }
    }
}

/// One image with zeros around it.
struct Padded {
    numbers: Vec<f32>,
    width: usize,
    top: usize,
    left: usize,
    row: usize,
    channels: usize,
}

// === impl Padded ===

impl Padded {
    fn new(grid: &Grid, [height, width]: [usize; 2], channels: usize) -> Result<Self, String> {
        let padded = |size: usize, axis: usize| {
            size + grid.before.get(axis).unwrap_or(&0) + grid.after.get(axis).unwrap_or(&0)
        };
        Ok(Self {
            numbers: vec![0.0; bounded(&[padded(height, 0), padded(width, 1), channels])?],
            width: padded(width, 1),
            top: grid.before[0],
            left: grid.before[1],
            row: width * channels,
            channels,
        })
    }

    fn fill(&mut self, image: &[f32]) {
        let rows = self
            .numbers
            .chunks_exact_mut((self.width * self.channels).max(1))
            .skip(self.top);
        for (padded, row) in rows.zip(image.chunks_exact(self.row.max(1))) {
            let start = self.left * self.channels;
            if let Some(padded) = padded.get_mut(start..start + row.len()) {
                padded.copy_from_slice(row);
            }
        }
    }
}
