//! The handwritten digits that the lab sends (scikit-learn's, 8 x 8 pixels), and
//! what each version's model file says about them.

use crate::artefacts;
use crate::failure::{During, Result};
use std::fs;

pub const PIXELS: usize = 64;

/// One image, as it goes over the wire: 0 (paper) to 16 (ink).
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The digit that the writer meant.
    pub label: u8,
    pub pixels: Vec<f32>,
}

/// All 1,797 images of `tests/models/digits.csv`.
///
/// # Errors
/// When the file is not what it should be, with the line.
pub fn read() -> Result<Vec<Image>> {
    let path = artefacts::models().join("digits.csv");
    let text = fs::read_to_string(&path).during(&format!("read {}", path.display()))?;
    text.lines()
        .enumerate()
        .skip(1)
        .map(|(number, line)| {
            image(line).ok_or_else(|| format!("{}:{}: no image", path.display(), number + 1).into())
        })
        .collect()
}

/// `label,held_out,p0,...,p63`
fn image(line: &str) -> Option<Image> {
    let mut fields = line.split(',');
    let label = fields.next()?.parse().ok().filter(|&label| label < 10)?;
    let _held_out = fields.next()?;
    let pixels = fields
        .map(|field| field.parse().ok())
        .collect::<Option<Vec<f32>>>()?;
    (pixels.len() == PIXELS).then_some(Image { label, pixels })
}

/// The label that a model file gives to each image, by candle and without a server.
///
/// # Errors
/// When the file does not load or does not classify.
pub fn expected_labels(model: &str, images: &[Image]) -> Result<Vec<u8>> {
    let model = serinus_judge::inference::load(&artefacts::models().join(model))
        .during(&format!("load {model}"))?;
    let rows: Vec<Vec<f32>> = images.iter().map(|image| image.pixels.clone()).collect();
    let outputs = model.predict(&rows).during("run a model")?;
    outputs
        .iter()
        .map(|output| {
            model
                .label_of(output)
                .and_then(|label| u8::try_from(label).ok())
                .ok_or_else(|| "the model gives no label".into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_whole() {
        let images = read().unwrap();
        // scikit-learn, load_digits: 1797 images.
        assert_eq!(images.len(), 1797);
        assert!(images.iter().all(|image| {
            image.pixels.len() == PIXELS
                && image
                    .pixels
                    .iter()
                    .all(|pixel| (0.0..=16.0).contains(pixel))
        }));
        assert_eq!(image("7,0,1,2"), None);
    }

    #[test]
    fn the_models_know_most_digits() {
        let images = read().unwrap();
        // tests/models/accuracy.json: 0.9592 and 1.0 of the training images,
        // 0.9444 and 0.9756 of the others.
        for (model, least) in [("digits-v1.json", 0.95), ("digits-v2.json", 0.99)] {
            let labels = expected_labels(model, &images).unwrap();
            let right = images
                .iter()
                .zip(&labels)
                .filter(|(image, label)| image.label == **label)
                .count();
            let accuracy = right as f64 / images.len() as f64;
            assert!(accuracy >= least, "{model}: {accuracy}");
        }
    }
}
