use super::line::{Line, Sums};
use super::*;

/// A row of sums, as it is computed on each kind of machine.
struct Row<'a, const G: usize> {
    pixels: usize,
    frame: &'a [f32],
    taps: &'a [usize],
    panel: &'a [[f32; LANES]],
    bias: [f32; LANES],
}

impl<const G: usize> WithSimd for Row<'_, G> {
    type Output = Vec<Sums<1>>;

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let mut sums = vec![[[0.0; LANES]; 1]; self.pixels];
        let line = Line {
            frame: self.frame,
            taps: self.taps,
            panels: [self.panel],
            bias: [self.bias],
        };
        line.run::<S, G>(simd, &mut sums);
        sums
    }
}

/// Small whole numbers, whose sums are exact in any order.
fn whole(at: usize) -> f32 {
    (at * 7 % 11) as f32 - 5.0
}

fn sums_are_right<const G: usize>() {
    for pixels in 1..33 {
        let taps = [0, G, 5 * G, 50 * G];
        let frame: Vec<f32> = (0..(51 + pixels) * G).map(whole).collect();
        let numbers: Vec<f32> = (0..taps.len() * G * LANES)
            .map(|at| whole(at * 3))
            .collect();
        let (panel, _) = numbers.as_chunks::<LANES>();
        let bias = std::array::from_fn(|lane| lane as f32);
        let right: Vec<Sums<1>> = (0..pixels)
            .map(|pixel| {
                [std::array::from_fn(|lane| {
                    let rows = panel.iter().enumerate();
                    let products = rows.map(|(row, weights)| {
                        frame[taps[row / G] + pixel * G + row % G] * weights[lane]
                    });
                    bias[lane] + products.sum::<f32>()
                })]
            })
            .collect();
        let row = || Row::<G> {
            pixels,
            frame: &frame,
            taps: &taps,
            panel,
            bias,
        };
        assert_eq!(pulp::Arch::new().dispatch(row()), right, "{pixels}");
        assert_eq!(pulp::Scalar::new().vectorize(row()), right, "{pixels}");
        assert_eq!(pulp::Scalar128b.vectorize(row()), right, "{pixels}");
        assert_eq!(pulp::Scalar256b.vectorize(row()), right, "{pixels}");
    }
}

#[test]
fn sums_are_the_same_on_every_machine() {
    sums_are_right::<1>();
    sums_are_right::<LANES>();
}
