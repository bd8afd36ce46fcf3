//! One image as a direct convolution reads it.

use super::super::values::bounded;
use super::super::window::Grid;
use super::direct::LANES;

/// Images as they lie in memory: channels first or last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    /// Numbers from a pixel to the next one of its row, and from a channel to the next.
    pub(super) pixel: usize,
    pub(super) channel: usize,
}

/// One image with zeros around it: [channels / together, height, width, together]. The
/// pixels that a row of the output begins at lie side by side, whatever the stride: with
/// two, a row has its even pixels first and then the odd ones.
pub(super) struct Frame {
    numbers: Vec<f32>,
    blocks: usize,
    together: usize,
    height: usize,
    /// Pixels of a row at one remainder of the stride.
    part: usize,
    stride: usize,
    before: [usize; 2],
}

// === impl Image ===

impl Image {
    pub(super) fn last(size: [usize; 2], channels: usize) -> Self {
        Self {
            size,
            channels,
            pixel: channels,
            channel: 1,
        }
    }

    pub(super) fn first(size: [usize; 2], channels: usize) -> Self {
        Self {
            size,
            channels,
            pixel: 1,
            channel: size.iter().product(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.size.iter().product::<usize>() * self.channels
    }
}

// === impl Frame ===

impl Frame {
    pub(super) fn new(
        grid: &Grid,
        [height, width]: [usize; 2],
        channels: usize,
        together: usize,
    ) -> Result<Self, String> {
        let height = grid.before[0] + height + grid.after[0];
        let width = grid.before[1] + width + grid.after[1];
        let stride = grid.stride[1];
        let part = width.div_ceil(stride);
        Ok(Self {
            numbers: vec![0.0; bounded(&[channels, height, part, stride])?],
            blocks: channels / together,
            together,
            height,
            part,
            stride,
            before: grid.before,
        })
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    pub(super) fn row_len(&self) -> usize {
        self.part * self.stride * self.together
    }

    /// Where a pixel of a row is.
    fn column(&self, x: usize) -> usize {
        (x % self.stride * self.part + x / self.stride) * self.together
    }

    /// Where the numbers of each tap begin, from where an output's first begin.
    pub(super) fn taps(&self, grid: &Grid) -> Vec<usize> {
        let [height, width] = grid.kernel;
        let mut taps = Vec::with_capacity(self.blocks * height * width);
        for block in 0..self.blocks {
            for down in 0..height {
                let row = block * self.height + down * grid.dilation[0];
                for right in 0..width {
                    taps.push(row * self.row_len() + self.column(right * grid.dilation[1]));
                }
            }
        }
        taps
    }

    /// Takes an image's channels, from one on.
    pub(super) fn fill(&mut self, numbers: &[f32], image: Image, first: usize) {
        let row_len = self.row_len();
        for block in 0..self.blocks {
            for y in 0..image.size[0] {
                let row = block * self.height + self.before[0] + y;
                let start = (first + block * self.together) * image.channel
                    + y * image.size[1] * image.pixel;
                let from = numbers.get(start..).unwrap_or_default();
                self.fill_row(from, image, row * row_len);
            }
        }
    }

    fn fill_row(&mut self, from: &[f32], image: Image, row: usize) {
        let [_, width] = image.size;
        if self.stride == 1 && image.pixel == self.together {
            let start = row + self.before[1] * self.together;
            let count = width * self.together;
            if let (Some(into), Some(from)) = (
                self.numbers.get_mut(start..start + count),
                from.get(..count),
            ) {
                into.copy_from_slice(from);
            }
            return;
        }
        for x in 0..width {
            let start = row + self.column(self.before[1] + x);
            let into = self.numbers.get_mut(start..).unwrap_or_default();
            let from = from.get(x * image.pixel..).unwrap_or_default();
            let wide = (into.first_chunk_mut::<LANES>(), from.first_chunk::<LANES>());
            if let (Some(into), Some(from)) = wide
                && (self.together, image.channel) == (LANES, 1)
            {
                *into = *from;
                continue;
            }
            let from = from.iter().step_by(image.channel);
            let into = into.iter_mut().take(self.together);
            into.zip(from).for_each(|(into, from)| *into = *from);
        }
    }
}
