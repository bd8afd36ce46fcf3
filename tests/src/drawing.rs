//! Digits as characters, some beside each other.

use crate::digits::PIXELS;

const SIDE: usize = 8;

/// From paper to ink; each pixel is two characters wide, since a character is
/// about twice as high as it is wide.
const SHADES: [&str; 5] = ["  ", "..", "oo", "OO", "@@"];

/// One picture and the lines that stand below it.
pub struct Tile {
    /// 64 numbers from 0 to 16.
    pub pixels: Vec<f32>,
    pub caption: Vec<String>,
}

/// Characters between two tiles.
const GAP: usize = 3;

/// Rows of at most `across` tiles, as lines of text.
#[must_use]
pub fn grid(tiles: &[Tile], across: usize) -> Vec<String> {
    tiles.chunks(across.max(1)).flat_map(row).collect()
}

fn row(tiles: &[Tile]) -> Vec<String> {
    let captions = tiles.iter().map(|tile| tile.caption.len()).max();
    let width = tiles
        .iter()
        .flat_map(|tile| tile.caption.iter().map(|line| line.chars().count()))
        .max()
        .unwrap_or_default()
        .max(2 * SIDE);
    let line = |texts: Vec<String>| {
        let padded: Vec<String> = texts.iter().map(|text| format!("{text:width$}")).collect();
        padded.join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let pictures = (0..SIDE).map(|y| {
        line(
            tiles
                .iter()
                .map(|tile| pixel_row(&tile.pixels, y))
                .collect(),
        )
    });
    let below = (0..captions.unwrap_or_default()).map(|index| {
        line(
            tiles
                .iter()
                .map(|tile| tile.caption.get(index).cloned().unwrap_or_default())
                .collect(),
        )
    });
    pictures
        .chain(below)
        .chain(std::iter::once(String::new()))
        .collect()
}

fn pixel_row(pixels: &[f32], y: usize) -> String {
    let row = pixels.get(y * SIDE..(y + 1) * SIDE).unwrap_or_default();
    row.iter().map(|&pixel| shade(pixel)).collect()
}

fn shade(pixel: f32) -> &'static str {
    // 0..=16 into five shades; 0 alone is paper.
    let index = (pixel / 4.0).ceil().clamp(0.0, 4.0) as usize;
    SHADES.get(index).copied().unwrap_or("  ")
}

const _: () = assert!(SIDE * SIDE == PIXELS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_beside_each_other() {
        let tile = |ink: f32, caption: &str| Tile {
            pixels: vec![ink; PIXELS],
            caption: vec![caption.to_owned()],
        };
        let lines = grid(
            &[
                tile(16.0, "served 3"),
                tile(1.0, "served 4"),
                tile(0.0, "x"),
            ],
            2,
        );
        assert_eq!(lines.len(), 2 * (SIDE + 2));
        assert_eq!(lines[0], format!("{}   {}", "@".repeat(16), ".".repeat(16)));
        assert_eq!(lines[8], "served 3           served 4");
        assert_eq!(lines[9], "");
        assert_eq!(lines[10], "", "paper");
        assert_eq!(lines[18], "x");
    }

    #[test]
    fn a_picture_of_the_wrong_size_is_blank() {
        let tile = Tile {
            pixels: vec![16.0; 3],
            caption: vec![],
        };
        assert_eq!(grid(&[tile], 6).concat(), "");
    }
}
