//! One image as a direct convolution reads it.

use super::super::values::bounded;
use super::super::window::Grid;
use super::LANES;

/// Images as they lie in memory: channels first or last.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Image {
    pub(super) size: [usize; 2],
    channels: usize,
    /// Numbers from a pixel to the next one of its row, and from a channel to the next.
    pixel: usize,
    channel: usize,
}

/// One image with zeros around it: [channels / together, height, width, together]. The
/// pixels that a row of the output begins at lie side by side, whatever the stride: with
/// two, a row has its even pixels first and then the odd ones.
pub(super) struct Frame {
    numbers: Vec<f32>,
    channels: usize,
    together: usize,
    height: usize,
    /// Pixels of a row at one remainder of the stride.
    part: usize,
    stride: usize,
    before: [usize; 2],
}

// === impl Image ===

impl Image {
    /// Channels last.
    pub(in super::super) fn last(size: [usize; 2], channels: usize) -> Self {
        Self {
            size,
            channels,
            pixel: channels,
            channel: 1,
        }
    }

    /// Channels first.
    pub(in super::super) fn first(size: [usize; 2], channels: usize) -> Self {
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
        let all = channels.next_multiple_of(together);
        Ok(Self {
            numbers: vec![0.0; bounded(&[all, height, part, stride])?],
            channels,
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

    fn blocks(&self) -> usize {
        self.channels.div_ceil(self.together)
    }

    /// Where a pixel of a row is.
    fn column(&self, x: usize) -> usize {
        (x % self.stride * self.part + x / self.stride) * self.together
    }

    /// Where the numbers of each tap begin, from where an output's first begin.
    pub(super) fn taps(&self, grid: &Grid) -> Vec<usize> {
        let [height, width] = grid.kernel;
        let mut taps = Vec::with_capacity(self.blocks() * height * width);
        for block in 0..self.blocks() {
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
    #[inline(always)]
    pub(super) fn fill(&mut self, numbers: &[f32], image: Image, first: usize) {
        let row_len = self.row_len();
        for block in 0..self.blocks() {
            for y in 0..image.size[0] {
                let row = block * self.height + self.before[0] + y;
                let start = (first + block * self.together) * image.channel
                    + y * image.size[1] * image.pixel;
                let from = numbers.get(start..).unwrap_or_default();
                let channels = self.channels - block * self.together;
                self.fill_row(from, image, channels.min(self.together), row * row_len);
            }
        }
    }

    /// A row of some channels that lie together.
    #[inline(always)]
    fn fill_row(&mut self, from: &[f32], image: Image, channels: usize, row: usize) {
        let [_, width] = image.size;
        let start = row + self.column(self.before[1]);
        if self.stride == 1 && image.pixel == self.together {
            let count = width * self.together;
            let into = self.numbers.get_mut(start..start + count);
            if let (Some(into), Some(from)) = (into, from.get(..count)) {
                into.copy_from_slice(from);
            }
            return;
        }
        if self.stride == 1 && (channels, image.channel) == (LANES, 1) {
            let into = self.numbers.get_mut(start..).unwrap_or_default();
            let (into, _) = into.as_chunks_mut::<LANES>();
            let from = from.chunks(image.pixel).take(width);
            for (into, from) in into.iter_mut().zip(from) {
                if let Some(from) = from.first_chunk() {
                    *into = *from;
                }
            }
            return;
        }
        for x in 0..width {
            let start = row + self.column(self.before[1] + x);
            let into = self.numbers.get_mut(start..start + channels);
            let from = from.get(x * image.pixel..).unwrap_or_default();
            let from = from.iter().step_by(image.channel);
            let pixel = into.unwrap_or_default().iter_mut();
            pixel.zip(from).for_each(|(into, from)| *into = *from);
        }
    }
}
