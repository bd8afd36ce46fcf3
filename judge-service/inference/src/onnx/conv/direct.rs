//! Convolution without a matrix of patches: some pixels of a row at a time, all taps of
//! the kernel over them, their sums in the registers of the machine from the first tap to
//! the last. What follows, an activation or a pool, takes the sums while they are still
//! in the nearest cache.

use candle_core::Tensor;
use pulp::{Simd, WithSimd};

use super::super::pool::Pool;
use super::super::values::bounded;
use super::super::window::{Activation, Grid};
use super::lanes::{Frame, Image};
use super::{Shape, numbers};

/// Outputs are computed so many together: the vectors of the widest machines.
pub(super) const LANES: usize = 16;

/// The sums of one pixel, of `Q` panels.
type Sums<const Q: usize> = [[f32; LANES]; Q];

/// A convolution's weights as its loops take them.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    shape: Shape,
    grid: Grid,
    /// Channels that lie side by side in the frame, 1 or [`LANES`].
    together: usize,
    /// For each group and each 16 of its outputs, a row for each number under the kernel:
    /// [channels / together, height, width, together]. Outputs that there are not have zeros.
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

// === impl Direct ===

impl Direct {
    /// `weight` is [outputs, channels of a group, height, width], in any rank.
    pub(super) fn new(shape: Shape, grid: Grid, weight: &Tensor) -> Result<Self, String> {
        let channels = shape.channels_of_group();
        let outputs = shape.outputs_of_group();
        let together = if channels.is_multiple_of(LANES) {
            LANES
        } else {
            1
        };
        let taps = grid.kernel.iter().product::<usize>();
        let depth = channels * taps;
        let count = outputs.div_ceil(LANES);
        let mut panels =
            vec![[0.0; LANES]; bounded(&[shape.groups * count, depth, LANES])? / LANES];
        let weights = numbers(weight)?;
        for (output, weights) in weights.chunks_exact(depth.max(1)).enumerate() {
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

    fn depth(&self) -> usize {
        self.grid.kernel.iter().product::<usize>() * self.shape.channels_of_group()
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
        let mut one = vec![[[0.0; LANES]; 1]; bounded(&[rows, columns, LANES])? / LANES];
        let mut two = vec![[[0.0; LANES]; 2]; one.len()];
        let images = images.chunks_exact(image.len().max(1));
        let outputs = into.chunks_exact_mut((output[0] * output[1] * self.shape.outputs).max(1));
        for (numbers, into) in images.zip(outputs) {
            for group in 0..self.shape.groups {
                frame.fill(numbers, image, group * channels);
                pulp::Arch::new().dispatch(OneImage {
                    work: &work,
                    frame: frame.numbers(),
                    group,
                    one: &mut one,
                    two: &mut two,
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
    frame: &'a [f32],
    group: usize,
    one: &'a mut [Sums<1>],
    two: &'a mut [Sums<2>],
    into: &'a mut [f32],
}

impl WithSimd for OneImage<'_> {
    type Output = ();

    /// Panel after panel, since weights are more than the rows of an image mostly: two at a
    /// time where the machine's registers hold their sums.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let direct = self.work.direct;
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
                frame: self.frame,
                group: self.group,
                panel,
            };
            let next = if S::F32_LANES == LANES {
                panels.next()
            } else {
                None
            };
            if let Some(second) = next {
                at.sums::<S, 2>(simd, [first, second], self.two, self.into);
                panel += 2;
            } else {
                at.sums::<S, 1>(simd, [first], self.one, self.into);
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
        sums: &mut [Sums<Q>],
        into: &mut [f32],
    ) {
        let work = self.work;
        let [rows, columns] = work.band;
        let stride = work.direct.grid.stride[0];
        let shape = work.direct.shape;
        let bias = self.bias();
        let line = work.output[1] * shape.outputs;
        for (at, into) in into.chunks_exact_mut(line.max(1)).enumerate() {
            let first = work.after.pool.map_or(at, |pool| pool.first_row(at));
            for (row, sums) in sums.chunks_exact_mut(columns.max(1)).take(rows).enumerate() {
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
            self.emit(sums, into);
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
    fn outputs(&self) -> std::ops::Range<usize> {
        let of_group = self.work.direct.shape.outputs_of_group();
        self.group * of_group + self.panel * LANES..(self.group + 1) * of_group
    }

    /// Sums to a row of the output.
    #[inline(always)]
    fn emit<const Q: usize>(&self, sums: &[Sums<Q>], into: &mut [f32]) {
        let outputs = self.outputs();
        let pixels = into.chunks_exact_mut(self.work.direct.shape.outputs);
        let activation = self.work.after.activation;
        for (at, pixel) in pixels.enumerate() {
            let mut found = match self.work.after.pool {
                None => sums.get(at).copied().unwrap_or([[0.0; LANES]; Q]),
                Some(pool) => pool.largest(sums, self.work.band[1], at),
            };
            if let Some(activation) = activation {
                activation.apply(found.as_flattened_mut());
            }
            let pixel = pixel.get_mut(outputs.clone()).unwrap_or_default();
            if let Some(pixel) = pixel.as_chunks_mut::<LANES>().0.first_chunk_mut::<Q>() {
                *pixel = found;
            } else {
                let found = found.as_flattened().iter();
                pixel
                    .iter_mut()
                    .zip(found)
                    .for_each(|(into, sum)| *into = *sum);
            }
        }
    }
}

/// One row of sums.
struct Line<'a, const Q: usize> {
    frame: &'a [f32],
    taps: &'a [usize],
    panels: [&'a [[f32; LANES]]; Q],
    bias: Sums<Q>,
}

impl<const Q: usize> Line<'_, Q> {
    /// As many pixels together as the registers hold sums for, and fewer at the end. Some
    /// are computed twice where that is less work than one by one.
    #[inline(always)]
    fn run<S: Simd, const G: usize>(&self, simd: S, sums: &mut [Sums<Q>]) {
        let mut at = 0;
        while at < sums.len() {
            at = match S::F32_LANES {
                16 => self
                    .pixels::<S, G, 1, 14>(simd, sums, at)
                    .or_else(|| self.pixels::<S, G, 1, 7>(simd, sums, at))
                    .or_else(|| self.pixels::<S, G, 1, 4>(simd, sums, at))
                    .or_else(|| self.pixels::<S, G, 1, 2>(simd, sums, at))
                    .or_else(|| self.pixels::<S, G, 1, 1>(simd, sums, at)),
                8 => self
                    .pixels::<S, G, 2, 6>(simd, sums, at)
                    .or_else(|| self.pixels::<S, G, 2, 3>(simd, sums, at))
                    .or_else(|| self.pixels::<S, G, 2, 1>(simd, sums, at)),
                4 => self
                    .pixels::<S, G, 4, 4>(simd, sums, at)
                    .or_else(|| self.pixels::<S, G, 4, 1>(simd, sums, at)),
                _ => self.pixels::<S, G, 16, 1>(simd, sums, at),
            }
            .unwrap_or(sums.len());
        }
    }

    /// The sums of `P` pixels, each in `V` vectors for every panel, and where the next
    /// begin; `None` if there are not so many left, or nearly.
    #[inline(always)]
    fn pixels<S: Simd, const G: usize, const V: usize, const P: usize>(
        &self,
        simd: S,
        sums: &mut [Sums<Q>],
        at: usize,
    ) -> Option<usize> {
        let left = sums.len() - at;
        if left < P && (2 * left < P + 3 || sums.len() < P) {
            return None;
        }
        let at = at.min(sums.len().checked_sub(P)?);
        let into = sums.get_mut(at..)?.first_chunk_mut::<P>()?;
        let frame = self.frame.get(at * G..)?;
        let mut vectors = [self.bias.map(|bias| load::<S, V>(simd, &bias)); P];
        let panels = self.panels.map(|panel| panel.as_chunks::<G>().0);
        for (tap, start) in self.taps.iter().enumerate() {
            let numbers = frame.get(*start..)?.as_chunks::<G>().0.first_chunk::<P>()?;
            let mut weights = [&[[0.0; LANES]; G]; Q];
            for (weights, panel) in weights.iter_mut().zip(panels) {
                *weights = panel.get(tap)?;
            }
            for channel in 0..G {
                let weights = weights.map(|rows| match rows.get(channel) {
                    Some(row) => load::<S, V>(simd, row),
                    None => [simd.splat_f32s(0.0); V],
                });
                for (vectors, numbers) in vectors.iter_mut().zip(numbers) {
                    let number = numbers.get(channel).copied().unwrap_or_default();
                    let number = simd.splat_f32s(number);
                    for (vectors, weights) in vectors.iter_mut().zip(&weights) {
                        for (sum, weight) in vectors.iter_mut().zip(weights) {
                            *sum = simd.mul_add_e_f32s(number, *weight, *sum);
                        }
                    }
                }
            }
        }
        for (into, vectors) in into.iter_mut().zip(&vectors) {
            for (into, vectors) in into.iter_mut().zip(vectors) {
                let (into, _) = S::as_mut_simd_f32s(into);
                for (into, vector) in into.iter_mut().zip(vectors) {
                    *into = *vector;
                }
            }
        }
        Some(at + P)
    }
}

#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, row: &[f32; LANES]) -> [S::f32s; V] {
    let (row, _) = S::as_simd_f32s(row);
    let mut vectors = [simd.splat_f32s(0.0); V];
    for (vector, row) in vectors.iter_mut().zip(row) {
        *vector = *row;
    }
    vectors
}
