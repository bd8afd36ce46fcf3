//! The innermost loops: a row of sums, tap by tap.

use pulp::Simd;

use super::LANES;

/// The sums of one pixel, of `Q` panels.
pub(super) type Sums<const Q: usize> = [[f32; LANES]; Q];

/// One row of sums.
pub(super) struct Line<'a, const Q: usize> {
    /// From the first pixel of the row on.
    pub(super) frame: &'a [f32],
    /// Where each tap begins, from where a pixel begins.
    pub(super) taps: &'a [usize],
    pub(super) panels: [&'a [[f32; LANES]]; Q],
    pub(super) bias: Sums<Q>,
}

// === impl Line ===

impl<const Q: usize> Line<'_, Q> {
    /// As many pixels together as the registers hold sums for, and fewer at the end, where
    /// one is computed twice if it is the only one that is too few.
    #[inline(always)]
    pub(super) fn run<S: Simd, const G: usize>(&self, simd: S, sums: &mut [Sums<Q>]) {
        let mut at = 0;
        while at < sums.len() {
            at = match S::F32_LANES {
                16 => self
                    .pixels::<S, G, 1, 14>(simd, sums, at)
                    .or_else(|| self.pixels::<S, G, 1, 8>(simd, sums, at))
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
    /// begin; `None` if more than one of them is missing.
    #[inline(always)]
    fn pixels<S: Simd, const G: usize, const V: usize, const P: usize>(
        &self,
        simd: S,
        sums: &mut [Sums<Q>],
        at: usize,
    ) -> Option<usize> {
        if sums.len() - at + 1 < P {
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
