//! Convolution without a matrix of patches: some pixels of a row at a time, all taps of
//! the kernel over them, their sums in the registers of the machine from the first tap to
//! the last. What follows, an activation or a pool, takes the sums while they are still
//! in the nearest cache.

mod frame;
mod line;
#[cfg(test)]
mod tests;

use pulp::{Simd, WithSimd};

use super::pool::Pool;
use super::values::bounded;
use super::window::{Activation, Grid};
use frame::Frame;
pub(super) use frame::Image;
use line::{Line, Sums};

/// Outputs are computed so many together: the vectors of the widest machines.
const LANES: usize = 16;

/// Rows that are computed together at most: steps of what the widest machines have in
/// registers, and so many that their sums stay in the first-level cache.
const ROW_STEP: usize = 14;
const ROWS: usize = 8;
/// Numbers of rows that are computed together at most, by a step: half a MiB in all, which
/// stays in the second-level cache.
const FRAME: usize = 128 * 1024 / ROW_STEP;

/// Channels and outputs, in how many groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) groups: usize,
    pub(super) channels: usize,
    pub(super) outputs: usize,
}

/// A convolution's weights as its loops take them.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    shape: Shape,
    grid: Grid,
    /// Channels that lie side by side in the frame, 1 or [`LANES`].
    together: usize,
    /// For each group and each 16 of its outputs, a row for each number under the kernel:
    /// [channels / together, height, width, together]. Channels and outputs that there are
    /// not have zeros.
    panels: Vec<[f32; LANES]>,
}

/// What becomes of the sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct After<'a> {
    pub(super) bias: &'a [f32],
    pub(super) activation: Option<Activation>,
    /// Of windows that all lie inside, and in rows that share none.
    pub(super) pool: Option<&'a Pool>,
}

// === impl Shape ===

impl Shape {
    pub(super) fn channels_of_group(&self) -> usize {
        self.channels / self.groups
    }

    pub(super) fn outputs_of_group(&self) -> usize {
        self.outputs / self.groups
    }
}

// === impl Direct ===

impl Direct {
    /// `weights` are [outputs, channels of a group, height, width].
    ///
    /// # Errors
    /// More weights than a tensor may have.
    pub(super) fn new(shape: Shape, grid: Grid, weights: &[f32]) -> Result<Self, String> {
        let channels = shape.channels_of_group();
        let outputs = shape.outputs_of_group();
        // Up to a third more channels, of zeros, are less work than one by one.
        let is_wide = channels.next_multiple_of(LANES) * 3 <= channels * 4;
        let together = if is_wide { LANES } else { 1 };
        let taps = grid.kernel.iter().product::<usize>();
        let depth = channels.next_multiple_of(together) * taps;
        let count = outputs.div_ceil(LANES);
        let rows = bounded(&[shape.groups * count, depth, LANES])? / LANES;
        let mut panels = vec![[0.0; LANES]; rows];
        for (output, weights) in weights.chunks_exact((channels * taps).max(1)).enumerate() {
            let (group, output) = (output / outputs, output % outputs);
            let first = (group * count + output / LANES) * depth;
            for (channel, weights) in weights.chunks_exact(taps.max(1)).enumerate() {
                let row = first + channel / together * taps * together + channel % together;
                for (tap, weight) in weights.iter().enumerate() {
                    let row = panels.get_mut(row + tap * together);
                    if let Some(slot) = row.and_then(|row| row.get_mut(output % LANES)) {
                        *slot = *weight;
                    }
                }
            }
        }
        Ok(Self {
            shape,
            grid,
            together,
            panels,
        })
    }

    /// Panels of 16 outputs that a group has.
    fn count(&self) -> usize {
        self.shape.outputs_of_group().div_ceil(LANES)
    }

    /// Rows of a panel.
    fn depth(&self) -> usize {
        let channels = self.shape.channels_of_group();
        self.grid.kernel.iter().product::<usize>() * channels.next_multiple_of(self.together)
    }

    /// Each output's weights by its factor.
    pub(super) fn scale(&mut self, scale: &[f32]) {
        let (count, depth) = (self.count(), self.depth());
        let groups = scale.chunks(self.shape.outputs_of_group());
        for (panels, scale) in self.panels.chunks_mut(count * depth).zip(groups) {
            for (panel, scale) in panels.chunks_mut(depth).zip(scale.chunks(LANES)) {
                for row in panel {
                    row.iter_mut()
                        .zip(scale)
                        .for_each(|(weight, scale)| *weight *= scale);
                }
            }
        }
    }

    /// Puts the channels of a kernel of one pixel into another order: `from` says where each
    /// one was.
    pub(super) fn reorder(&mut self, from: impl Fn(usize) -> usize) {
        let (depth, channels) = (self.depth(), self.shape.channels_of_group());
        for panel in self.panels.chunks_mut(depth.max(1)) {
            let old = panel.to_vec();
            for (channel, row) in panel.iter_mut().take(channels).enumerate() {
                *row = old.get(from(channel)).copied().unwrap_or_default();
            }
        }
    }

    /// Rows of numbers, for a kernel of one pixel: each is a pixel of an image that is a
    /// single line.
    pub(super) fn rows(
        &self,
        numbers: &[f32],
        after: After<'_>,
        into: &mut [f32],
    ) -> Result<(), String> {
        let (takes, gives) = (self.shape.channels, self.shape.outputs);
        let count = (FRAME / takes.max(1)).clamp(1, ROWS) * ROW_STEP;
        let inputs = numbers.chunks((count * takes).max(1));
        for (numbers, into) in inputs.zip(into.chunks_mut((count * gives).max(1))) {
            let size = [1, numbers.len() / takes.max(1)];
            self.run(numbers, Image::last(size, takes), size, after, into)?;
        }
        Ok(())
    }

    /// All images; `output` is the size of what is written to `into`, pooled where it is.
    pub(super) fn run(
        &self,
        images: &[f32],
        image: Image,
        output: [usize; 2],
        after: After<'_>,
        into: &mut [f32],
    ) -> Result<(), String> {
        let channels = self.shape.channels_of_group();
        let mut frame = Frame::new(&self.grid, image.size, channels, self.together)?;
        let [rows, columns] = after
            .pool
            .map_or([1, output[1]], |pool| pool.reach(output[1]));
        let work = Work {
            direct: self,
            taps: &frame.taps(&self.grid),
            step: frame.row_len(),
            output,
            band: [rows, columns],
            after,
        };
        let panels = self.count().min(2);
        let mut sums = vec![[0.0; LANES]; bounded(&[rows, columns, panels, LANES])? / LANES];
        let images = images.chunks_exact(image.len().max(1));
        let outputs = into.chunks_exact_mut((output[0] * output[1] * self.shape.outputs).max(1));
        for (numbers, into) in images.zip(outputs) {
            for group in 0..self.shape.groups {
                pulp::Arch::new().dispatch(OneImage {
                    work: &work,
                    numbers,
                    image,
                    frame: &mut frame,
                    group,
                    sums: &mut sums,
                    into,
                });
            }
        }
        Ok(())
    }
}

/// What all images share.
struct Work<'a> {
    direct: &'a Direct,
    /// Where each tap begins, from where a pixel begins.
    taps: &'a [usize],
    /// Numbers of the frame from row to row.
    step: usize,
    output: [usize; 2],
    /// Rows and columns of sums that one row of the output is made of.
    band: [usize; 2],
    after: After<'a>,
}

struct OneImage<'a> {
    work: &'a Work<'a>,
    numbers: &'a [f32],
    image: Image,
    frame: &'a mut Frame,
    group: usize,
    /// Of two panels, if there are two.
    sums: &'a mut [[f32; LANES]],
    into: &'a mut [f32],
}

impl WithSimd for OneImage<'_> {
    type Output = ();

    /// Panel after panel, since weights are more than the rows of an image mostly: two at a
    /// time where the machine's registers hold their sums.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let direct = self.work.direct;
        let channels = self.group * direct.shape.channels_of_group();
        self.frame.fill(self.numbers, self.image, channels);
        let (count, depth) = (direct.count(), direct.depth());
        let panels = direct.panels.get(self.group * count * depth..);
        let mut panels = panels
            .unwrap_or_default()
            .chunks_exact(depth.max(1))
            .take(count);
        let mut panel = 0;
        while let Some(first) = panels.next() {
            let at = Place {
                work: self.work,
                frame: self.frame.numbers(),
                group: self.group,
                panel,
            };
            let next = if S::F32_LANES == LANES {
                panels.next()
            } else {
                None
            };
            if let Some(second) = next {
                at.sums::<S, 2>(simd, [first, second], self.sums, self.into);
                panel += 2;
            } else {
                at.sums::<S, 1>(simd, [first], self.sums, self.into);
                panel += 1;
            }
        }
    }
}

/// Some panels of a group on one image.
struct Place<'a> {
    work: &'a Work<'a>,
    frame: &'a [f32],
    group: usize,
    panel: usize,
}

impl Place<'_> {
    #[inline(always)]
    fn sums<S: Simd, const Q: usize>(
        &self,
        simd: S,
        panels: [&[[f32; LANES]]; Q],
        sums: &mut [[f32; LANES]],
        into: &mut [f32],
    ) {
        let work = self.work;
        let [rows, columns] = work.band;
        let (sums, _) = sums.as_chunks_mut::<Q>();
        let sums = sums.get_mut(..rows * columns).unwrap_or_default();
        let stride = work.direct.grid.stride[0];
        let shape = work.direct.shape;
        let bias = self.bias();
        let line = work.output[1] * shape.outputs;
        for (at, into) in into.chunks_exact_mut(line.max(1)).enumerate() {
            let first = work.after.pool.map_or(at, |pool| pool.first_row(at));
            for (row, sums) in sums.chunks_exact_mut(columns.max(1)).enumerate() {
                let frame = self.frame.get((first + row) * stride * work.step..);
                let frame = frame.unwrap_or_default();
                let line = Line {
                    frame,
                    taps: work.taps,
                    panels,
                    bias,
                };
                if work.direct.together == LANES {
                    line.run::<S, LANES>(simd, sums);
                } else {
                    line.run::<S, 1>(simd, sums);
                }
            }
            self.emit(simd, sums, into);
        }
    }

    /// The biases of the panels; zeros where there are no outputs.
    #[inline(always)]
    fn bias<const Q: usize>(&self) -> Sums<Q> {
        let mut bias = [[0.0; LANES]; Q];
        let mut numbers = self
            .work
            .after
            .bias
            .get(self.outputs())
            .unwrap_or_default()
            .iter();
        for (slot, number) in bias.as_flattened_mut().iter_mut().zip(&mut numbers) {
            *slot = *number;
        }
        bias
    }

    /// From the first output of the panels to the last of the group.
    #[inline(always)]
    fn outputs(&self) -> std::ops::Range<usize> {
        let of_group = self.work.direct.shape.outputs_of_group();
        self.group * of_group + self.panel * LANES..(self.group + 1) * of_group
    }

    /// Sums to a row of the output.
    #[inline(always)]
    fn emit<S: Simd, const Q: usize>(&self, simd: S, sums: &[Sums<Q>], into: &mut [f32]) {
        let outputs = self.outputs();
        let pixels = into.chunks_exact_mut(self.work.direct.shape.outputs);
        for (at, pixel) in pixels.enumerate() {
            let pixel = pixel.get_mut(outputs.clone()).unwrap_or_default();
            for (panel, into) in pixel.chunks_mut(LANES).take(Q).enumerate() {
                if let Some(into) = into.first_chunk_mut() {
                    self.finish(simd, sums, [at, panel], into);
                    continue;
                }
                let mut all = [0.0; LANES];
                self.finish(simd, sums, [at, panel], &mut all);
                into.iter_mut().zip(all).for_each(|(into, sum)| *into = sum);
            }
        }
    }

    /// What becomes of a panel's sums.
    #[inline(always)]
    fn finish<S: Simd, const Q: usize>(
        &self,
        simd: S,
        sums: &[Sums<Q>],
        [at, panel]: [usize; 2],
        into: &mut [f32; LANES],
    ) {
        let after = &self.work.after;
        let (into, _) = S::as_mut_simd_f32s(into);
        for (vector, into) in into.iter_mut().enumerate() {
            let of = |pixel: &Sums<Q>| match pixel.get(panel) {
                Some(panel) => S::as_simd_f32s(panel).0.get(vector).copied(),
                None => None,
            };
            let found = match after.pool {
                None => sums.get(at).and_then(of),
                Some(pool) => pool.largest(simd, sums, self.work.band[1], at, of),
            };
            let found = found.unwrap_or(simd.splat_f32s(0.0));
            *into = match after.activation {
                Some(activation) => activation.of_vector(simd, found),
                None => found,
            };
        }
    }
}
