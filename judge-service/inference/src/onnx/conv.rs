//! Convolution: a block of images becomes a matrix of patches, and one product
//! with the kernels gives their outputs, bias and activation included while the
//! numbers are still in the cache.

use candle_core::Tensor;

use super::matrix::{View, multiply};
use super::values::{bounded, channels_last, from_channels_last, read, to_channels_last, words};
use super::window::{Activation, Grid, Window};

/// Patches of a block take at most so many floats: 128 KiB, which stays in the
/// second-level cache beside the kernels.
const BLOCK: usize = 32 * 1024;

/// From so many numbers in a row of the kernel on the image itself is multiplied: with
/// fewer, one product of whole patches is less work than several of parts. Patches of
/// fewer numbers altogether are made number by number.
const IN_PLACE: usize = 16;

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    grid: Grid,
    groups: usize,
    channels: usize,
    outputs: usize,
    /// For each group [kernel height, kernel width, channels, outputs]; where each
    /// channel is its own group, [kernel height, kernel width, channels].
    weights: Vec<f32>,
    is_depthwise: bool,
    bias: Vec<f32>,
    activation: Option<Activation>,
    /// Over one axis: images of height 1.
    flat: bool,
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
        let [height, width] = grid.kernel;
        let of_group = outputs / groups;
        let is_depthwise = of_group == 1 && channels == 1;
        // [groups, outputs, channels, h, w] -> [groups, h, w, channels, outputs]
        let order = if is_depthwise {
            vec![3, 4, 0, 1, 2]
        } else {
            vec![0, 3, 4, 2, 1]
        };
        let turned = weight
            .reshape(&[groups, of_group, channels, height, width][..])
            .and_then(|weight| weight.permute(order))
            .and_then(|weight| weight.contiguous())
            .map_err(words)?;
        Ok(Self {
            grid,
            groups,
            channels: channels * groups,
            outputs,
            weights: read::<f32, _>(&turned, <[f32]>::to_vec)?,
            is_depthwise,
            bias,
            activation: None,
            flat: kernel.len() == 1,
        })
    }

    /// Does `x * scale + shift` to each output as well: a batch normalisation.
    pub(super) fn scale(&mut self, scale: &[f32], shift: &[f32]) {
        let groups = if self.is_depthwise { 1 } else { self.groups };
        let of_group = self.outputs / groups;
        let group_len = self.weights.len() / groups;
        for (weights, scale) in self
            .weights
            .chunks_mut(group_len)
            .zip(scale.chunks(of_group))
        {
            for row in weights.chunks_mut(of_group) {
                row.iter_mut()
                    .zip(scale)
                    .for_each(|(weight, scale)| *weight *= scale);
            }
        }
        for ((bias, scale), shift) in self.bias.iter_mut().zip(scale).zip(shift) {
            *bias = *bias * scale + shift;
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn has_activation(&self) -> bool {
        self.activation.is_some()
    }

    pub(super) fn activate(&mut self, activation: Activation) {
        self.activation = Some(activation);
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
        let &[n, channels, height, width] = x.dims() else {
            return Err(format!(
                "has an input of shape {:?}, but must have [n, channels, height, width]",
                x.dims()
            ));
        };
        if channels != self.channels {
            return Err(format!(
                "has an input of {channels} channels, but weights for {}",
                self.channels
            ));
        }
        let [high, wide] = self.grid.output([height, width], false)?;
        // With one channel both layouts are the same.
        let last = match channels_last(x) {
            Some(last) => last,
            None if channels == 1 && x.is_contiguous() => {
                x.reshape((n, height, width, 1)).map_err(words)?
            }
            None => to_channels_last(x)?,
        };
        let mut into = vec![0.0; bounded(&[n, high, wide, self.outputs])?];
        if self.is_in_place() {
            read::<f32, _>(&last, |numbers| {
                self.in_place(numbers, [height, width], [high, wide], &mut into)
            })??;
            return from_channels_last(into, [n, self.outputs, high, wide]);
        }
        for pixel in into.chunks_exact_mut(self.outputs) {
            pixel.copy_from_slice(&self.bias);
        }
        read::<f32, _>(&last, |numbers| {
            if self.grid.is_plain() && self.groups == 1 {
                let weights = View::rows(&self.weights, self.channels, self.outputs);
                multiply(
                    &mut into,
                    View::rows(numbers, n * high * wide, self.channels),
                    weights,
                    true,
                )?;
                self.finish(&mut into);
                Ok(())
            } else {
                self.blocks(numbers, [height, width], [high, wide], &mut into)
            }
        })??;
        from_channels_last(into, [n, self.outputs, high, wide])
    }

    /// Whether the products can read the image itself: the numbers under one row of the
    /// kernel lie side by side, and those of the next pixel begin one pixel later.
    fn is_in_place(&self) -> bool {
        let [_, kernel_width] = self.grid.kernel;
        self.groups == 1
            && !self.grid.is_plain()
            && (self.grid.stride, self.grid.dilation) == ([1, 1], [1, 1])
            && kernel_width * self.channels >= IN_PLACE
    }

    /// One product for each row of the kernel, over the pixels of a whole image. The ends
    /// of its rows are computed too, where the kernel hangs over into the next row, and
    /// left out: that is less than copying every patch.
    fn in_place(
        &self,
        numbers: &[f32],
        size: [usize; 2],
        [high, wide]: [usize; 2],
        into: &mut [f32],
    ) -> Result<(), String> {
        let [kernel_height, kernel_width] = self.grid.kernel;
        let (channels, outputs) = (self.channels, self.outputs);
        let mut padded = Padded::new(&self.grid, size, channels)?;
        let pixels = (high * padded.width + 1).saturating_sub(kernel_width);
        let depth = kernel_width * channels;
        let mut sums = vec![0.0; bounded(&[pixels, outputs])?];
        let [height, width] = size;
        let images = numbers.chunks_exact((height * width * channels).max(1));
        for (image, into) in images.zip(into.chunks_exact_mut((high * wide * outputs).max(1))) {
            padded.fill(image);
            let rows = self.weights.chunks_exact(depth * outputs);
            for (down, weights) in rows.take(kernel_height).enumerate() {
                let start = down * padded.width * channels;
                let patches = View {
                    numbers: padded.numbers.get(start..).unwrap_or_default(),
                    rows: pixels,
                    columns: depth,
                    row_step: channels,
                    column_step: 1,
                };
                let weights = View::rows(weights, depth, outputs);
                multiply(&mut sums, patches, weights, down > 0)?;
            }
            self.take_rows(&sums, padded.width, wide, into);
        }
        Ok(())
    }

    /// The pixels that an image has, out of rows that are as wide as the padded one's.
    fn take_rows(&self, sums: &[f32], padded: usize, wide: usize, into: &mut [f32]) {
        let outputs = self.outputs;
        super::wide::wide(|| {
            let rows = sums.chunks((padded * outputs).max(1));
            for (row, into) in rows.zip(into.chunks_exact_mut((wide * outputs).max(1))) {
                let pixels = row.chunks_exact(outputs);
                for (pixel, into) in pixels.zip(into.chunks_exact_mut(outputs)) {
                    for ((into, sum), bias) in into.iter_mut().zip(pixel).zip(&self.bias) {
                        *into = sum + bias;
                    }
                }
                self.finish(into);
            }
        });
    }

    #[inline(always)]
    fn finish(&self, numbers: &mut [f32]) {
        if let Some(activation) = self.activation {
            activation.apply(numbers);
        }
    }

    /// Some images at a time.
    fn blocks(
        &self,
        numbers: &[f32],
        size: [usize; 2],
        [high, wide]: [usize; 2],
        into: &mut [f32],
    ) -> Result<(), String> {
        let depth = self.grid.kernel.iter().product::<usize>() * (self.channels / self.groups);
        let pixels = high * wide;
        let images = (BLOCK / (pixels * depth).max(1)).max(1);
        let mut padded = Padded::new(&self.grid, size, self.channels)?;
        let [height, width] = size;
        let of_group = self.outputs / self.groups;
        let is_depthwise = self.is_depthwise;
        let of_patches = if is_depthwise {
            0
        } else {
            bounded(&[images, pixels, depth])?
        };
        let mut patches = vec![0.0; of_patches];
        let of_products = if self.groups == 1 || is_depthwise {
            0
        } else {
            images * pixels * of_group
        };
        let mut products = vec![0.0; of_products];
        let inputs = numbers.chunks(images * height * width * self.channels);
        for (block, into) in inputs.zip(into.chunks_mut(images * pixels * self.outputs)) {
            let images = block.chunks_exact((height * width * self.channels).max(1));
            if is_depthwise {
                for (image, into) in images.zip(into.chunks_exact_mut(pixels * self.outputs)) {
                    padded.fill(image);
                    super::wide::wide(|| self.depthwise(&padded, [high, wide], into));
                }
                self.finish(into);
                continue;
            }
            let rows = into.len() / self.outputs;
            for group in 0..self.groups {
                let patches = patches.get_mut(..rows * depth).unwrap_or_default();
                for (image, patches) in images
                    .clone()
                    .zip(patches.chunks_exact_mut((pixels * depth).max(1)))
                {
                    padded.fill(image);
                    super::wide::wide(|| self.patches(&padded, group, wide, patches));
                }
                let weights = self
                    .weights
                    .get(group * depth * of_group..)
                    .unwrap_or_default();
                let weights = View::rows(weights, depth, of_group);
                let patches = View::rows(patches, rows, depth);
                if self.groups == 1 {
                    multiply(into, patches, weights, true)?;
                    continue;
                }
                let products = products.get_mut(..rows * of_group).unwrap_or_default();
                multiply(products, patches, weights, false)?;
                let pixels = into.chunks_exact_mut(self.outputs);
                for (pixel, product) in pixels.zip(products.chunks_exact(of_group)) {
                    let pixel = pixel.iter_mut().skip(group * of_group);
                    pixel
                        .zip(product)
                        .for_each(|(sum, product)| *sum += product);
                }
            }
            self.finish(into);
        }
        Ok(())
    }

    /// One row for each output pixel: [kernel height, kernel width, channels of the group].
    #[inline(always)]
    fn patches(&self, image: &Padded, group: usize, wide: usize, patches: &mut [f32]) {
        let [kernel_height, kernel_width] = self.grid.kernel;
        let of_group = self.channels / self.groups;
        // Channels of neighbours lie side by side, so a kernel's row is one run.
        let is_run = self.groups == 1 && self.grid.dilation == [1, 1];
        let (runs, length) = if is_run {
            (1, kernel_width * of_group)
        } else {
            (kernel_width, of_group)
        };
        let depth = kernel_height * kernel_width * of_group;
        if depth < IN_PLACE {
            return self.small_patches(image, group, wide, patches);
        }
        for (pixel, patch) in patches.chunks_exact_mut(depth).enumerate() {
            let (row, column) = (
                pixel / wide * self.grid.stride[0],
                pixel % wide * self.grid.stride[1],
            );
            for (at, run) in patch.chunks_exact_mut(length).enumerate() {
                let (down, right) = (at / runs, at % runs);
                let start = (row + down * self.grid.dilation[0]) * image.width
                    + column
                    + right * self.grid.dilation[1];
                let start = start * self.channels + group * of_group;
                copy(
                    image.numbers.get(start..start + length).unwrap_or_default(),
                    run,
                );
            }
        }
    }

    /// The same of few numbers, one by one: a copy of three costs more than three.
    #[inline(always)]
    fn small_patches(&self, image: &Padded, group: usize, wide: usize, patches: &mut [f32]) {
        let [kernel_height, kernel_width] = self.grid.kernel;
        let of_group = self.channels / self.groups;
        let mut places = Vec::with_capacity(kernel_height * kernel_width * of_group);
        for down in 0..kernel_height {
            for right in 0..kernel_width {
                let pixel =
                    down * self.grid.dilation[0] * image.width + right * self.grid.dilation[1];
                let start = pixel * self.channels + group * of_group;
                places.extend(start..start + of_group);
            }
        }
        let span = places.last().map_or(0, |last| last + 1);
        for (pixel, patch) in patches.chunks_exact_mut(places.len().max(1)).enumerate() {
            let row = pixel / wide * self.grid.stride[0];
            let column = pixel % wide * self.grid.stride[1];
            let start = (row * image.width + column) * self.channels;
            let window = image.numbers.get(start..start + span).unwrap_or_default();
            for (number, place) in patch.iter_mut().zip(&places) {
                *number = window.get(*place).copied().unwrap_or_default();
            }
        }
    }

    /// One channel in, one out, for each channel: sums along the channels.
    #[inline(always)]
    fn depthwise(&self, image: &Padded, [_, wide]: [usize; 2], into: &mut [f32]) {
        let [_, kernel_width] = self.grid.kernel;
        for (pixel, sums) in into.chunks_exact_mut(self.outputs).enumerate() {
            let (row, column) = (
                pixel / wide * self.grid.stride[0],
                pixel % wide * self.grid.stride[1],
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

/// `copy_from_slice` of a few numbers without a call.
#[inline(always)]
fn copy(from: &[f32], into: &mut [f32]) {
    let (blocks, rest) = from.as_chunks::<8>();
    let (into, end) = into.as_chunks_mut::<8>();
    for (into, from) in into.iter_mut().zip(blocks) {
        *into = *from;
    }
    for (into, from) in end.iter_mut().zip(rest) {
        *into = *from;
    }
}

/// A constant tensor's numbers.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let tensor = tensor.contiguous().map_err(words)?;
    read::<f32, _>(&tensor, <[f32]>::to_vec)
}

#[cfg(test)]
mod tests;
