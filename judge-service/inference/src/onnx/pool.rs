//! Pools over windows of an image, along its channels.

use candle_core::Tensor;
use pulp::Simd;

use super::attributes::Attributes;
use super::values::{
    bounded, channels_last, from_channels_last, make, read, to_channels_last, words,
};
use super::window::{Grid, Window};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolKind {
    Max,
    Average,
}

#[derive(Debug, Clone)]
pub(super) struct Pool {
    kind: PoolKind,
    grid: Grid,
    /// A last window may be partly outside.
    ceil: bool,
    /// The zeros of the padding count for the average.
    counts_padding: bool,
    flat: bool,
}

// === impl PoolKind ===

impl PoolKind {
    /// What a window begins with.
    fn start(self) -> f32 {
        match self {
            Self::Max => f32::NEG_INFINITY,
            Self::Average => 0.0,
        }
    }
}

// === impl Pool ===

impl Pool {
    pub(super) fn read(kind: PoolKind, at: &Attributes<'_>) -> Result<Self, String> {
        let window = Window::read(at)?;
        let kernel = window.kernel.clone().ok_or("has no kernel_shape")?;
        Attributes::only("storage_order", at.int("storage_order", 0), 0)?;
        Ok(Self {
            kind,
            grid: window.grid(&kernel)?,
            ceil: at.flag("ceil_mode", false),
            counts_padding: at.flag("count_include_pad", false),
            flat: kernel.len() == 1,
        })
    }

    /// Images [n, channels, height, width], or without height for a flat pool.
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

    /// Images of two axes.
    pub(super) fn images(&self, x: &Tensor) -> Result<Tensor, String> {
        let last = to_channels_last(x)?;
        let &[n, height, width, channels] = last.dims() else {
            return Err("has an input that is no image".to_owned());
        };
        let [high, wide] = self.output([height, width])?;
        let start = self.kind.start();
        let mut into = vec![start; bounded(&[n, high, wide, channels])?];
        read::<f32, _>(&last, |numbers| {
            let images = numbers.chunks_exact((height * width * channels).max(1));
            for (image, into) in images.zip(into.chunks_exact_mut((high * wide * channels).max(1)))
            {
                if self.is_inside([height, width], [high, wide]) {
                    super::wide::wide(|| self.most(image, [width, wide, channels], into));
                    continue;
                }
                super::wide::wide(|| {
                    for (at, pixel) in into.chunks_exact_mut(channels.max(1)).enumerate() {
                        self.pixel(image, [height, width], [at / wide, at % wide], pixel);
                    }
                });
            }
        })?;
        from_channels_last(into, [n, channels, high, wide])
    }

    pub(super) fn is_flat(&self) -> bool {
        self.flat
    }

    /// Whether it is the largest numbers of windows, no two of which share a row unless they
    /// share all: rows can be made when they are needed then, and forgotten.
    pub(super) fn is_banded(&self) -> bool {
        let grid = &self.grid;
        self.kind == PoolKind::Max && grid.dilation[0] == 1 && grid.kernel[0] <= grid.stride[0]
    }

    /// The size of what it gives of an image.
    ///
    /// # Errors
    /// An image that is smaller than the kernel.
    pub(super) fn output(&self, size: [usize; 2]) -> Result<[usize; 2], String> {
        self.grid.output(size, self.ceil)
    }

    /// Rows and columns that a row of so many windows goes over.
    pub(super) fn reach(&self, windows: usize) -> [usize; 2] {
        let grid = &self.grid;
        let columns = windows.saturating_sub(1) * grid.stride[1];
        let last = (grid.kernel[1] - 1) * grid.dilation[1];
        [grid.kernel[0], columns + last + 1]
    }

    /// The first row that a row of windows goes over.
    pub(super) fn first_row(&self, at: usize) -> usize {
        at * self.grid.stride[0]
    }

    /// The largest numbers of a window, out of the rows that its row goes over.
    #[inline(always)]
    pub(super) fn largest<S: Simd, T>(
        &self,
        simd: S,
        rows: &[T],
        columns: usize,
        window: usize,
        of: impl Fn(&T) -> Option<S::f32s>,
    ) -> Option<S::f32s> {
        let mut most = simd.splat_f32s(f32::NEG_INFINITY);
        for down in 0..self.grid.kernel[0] {
            let first = down * columns + window * self.grid.stride[1];
            for right in 0..self.grid.kernel[1] {
                let number = of(rows.get(first + right * self.grid.dilation[1])?)?;
                most = simd.select_f32s(simd.greater_than_f32s(number, most), number, most);
            }
        }
        Some(most)
    }

    /// Whether it is the largest numbers of windows that all lie inside the image.
    pub(super) fn is_inside(&self, size: [usize; 2], output: [usize; 2]) -> bool {
        let grid = &self.grid;
        let axes = [0, 1].into_iter();
        let mut inside = axes.map(|axis| {
            let of = |sizes: &[usize; 2]| sizes.get(axis).copied().unwrap_or_default();
            let last = of(&output).saturating_sub(1) * of(&grid.stride);
            let reach = of(&grid.kernel).saturating_sub(1) * of(&grid.dilation);
            of(&grid.before) == 0 && last + reach < of(&size)
        });
        self.kind == PoolKind::Max && inside.all(|inside| inside)
    }

    /// Row by row, so that nothing is asked of a single number.
    #[inline(always)]
    fn most(&self, image: &[f32], [width, wide, channels]: [usize; 3], into: &mut [f32]) {
        let (row, step) = (width * channels, self.grid.stride[1] * channels);
        for (at, into) in into.chunks_exact_mut((wide * channels).max(1)).enumerate() {
            for down in 0..self.grid.kernel[0] {
                let y = at * self.grid.stride[0] + down * self.grid.dilation[0];
                let numbers = image.get(y * row..(y + 1) * row).unwrap_or_default();
                for right in 0..self.grid.kernel[1] {
                    let first = right * self.grid.dilation[1] * channels;
                    let numbers = numbers.get(first..).unwrap_or_default();
                    let pixels = into.chunks_exact_mut(channels.max(1));
                    for (into, numbers) in pixels.zip(numbers.chunks(step.max(1))) {
                        larger(into, numbers);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pixel(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        [row, column]: [usize; 2],
        into: &mut [f32],
    ) {
        let (grid, channels) = (&self.grid, into.len());
        let mut inside = 0_usize;
        let mut counted = 0_usize;
        for down in 0..grid.kernel[0] {
            for right in 0..grid.kernel[1] {
                // Counted from the first pixel of the padding.
                let y = row * grid.stride[0] + down * grid.dilation[0];
                let x = column * grid.stride[1] + right * grid.dilation[1];
                if y < height + grid.before[0] + grid.after[0]
                    && x < width + grid.before[1] + grid.after[1]
                {
                    counted += 1;
                }
                let y = y.checked_sub(grid.before[0]).filter(|y| *y < height);
                let x = x.checked_sub(grid.before[1]).filter(|x| *x < width);
                let (Some(y), Some(x)) = (y, x) else { continue };
                inside += 1;
                let start = (y * width + x) * channels;
                let numbers = image.get(start..start + channels).unwrap_or_default();
                match self.kind {
                    PoolKind::Max => into
                        .iter_mut()
                        .zip(numbers)
                        .for_each(|(most, x)| *most = most.max(*x)),
                    PoolKind::Average => {
                        into.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += x)
                    }
                }
            }
        }
        if self.kind == PoolKind::Average {
            let count = if self.counts_padding { counted } else { inside };
            let divisor = count.max(1) as f32;
            into.iter_mut().for_each(|sum| *sum /= divisor);
        }
    }
}

/// Of each two numbers the larger, sixteen at a time as far as they go: most layers have
/// so many channels, or a multiple. `numbers` may go on.
#[inline(always)]
fn larger(into: &mut [f32], numbers: &[f32]) {
    let pick = |most: &mut f32, number: f32| *most = if number > *most { number } else { *most };
    let numbers = numbers.get(..into.len()).unwrap_or_default();
    let (blocks, rest) = into.as_chunks_mut::<16>();
    let (numbers, end) = numbers.as_chunks::<16>();
    for (into, numbers) in blocks.iter_mut().zip(numbers) {
        for (most, number) in into.iter_mut().zip(numbers) {
            pick(most, *number);
        }
    }
    for (most, number) in rest.iter_mut().zip(end) {
        pick(most, *number);
    }
}

/// Over whole images: [n, channels, ...] to [n, channels, 1, ...].
pub(super) fn global(kind: PoolKind, x: &Tensor) -> Result<Tensor, String> {
    let dims = x.dims().to_vec();
    let (&[n, channels], spatial) = dims
        .split_first_chunk::<2>()
        .ok_or("has an input without channels")?;
    let pixels: usize = spatial.iter().product();
    let last = match channels_last(x) {
        Some(last) => last,
        None => to_channels_last(&x.reshape((n, channels, pixels, 1)).map_err(words)?)?,
    };
    let mut into = vec![kind.start(); n * channels];
    read::<f32, _>(&last, |numbers| {
        let images = numbers.chunks_exact((pixels * channels).max(1));
        for (image, into) in images.zip(into.chunks_exact_mut(channels.max(1))) {
            for pixel in image.chunks_exact(channels.max(1)) {
                match kind {
                    PoolKind::Max => into
                        .iter_mut()
                        .zip(pixel)
                        .for_each(|(most, x)| *most = most.max(*x)),
                    PoolKind::Average => into.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x),
                }
            }
            if kind == PoolKind::Average {
                into.iter_mut().for_each(|sum| *sum /= pixels.max(1) as f32);
            }
        }
    })?;
    let ones = spatial.iter().map(|_| 1);
    make(
        into,
        &[n, channels].into_iter().chain(ones).collect::<Vec<_>>(),
    )
}
