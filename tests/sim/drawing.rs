//! Just enough SVG for two pictures. They stand on a light card of their own, so that
//! they can be read on a dark page too.

use std::fmt::Write as _;

pub const INK: &str = "#1f2328";
pub const FAINT: &str = "#d5d9de";
pub const GREY: &str = "#57606a";

/// Okabe and Ito's colours, which people of all colour vision can tell apart; the yellow
/// is left out, since it is not seen on white.
pub const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000",
];

pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    pub fn text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: Anchor,
        colour: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
             fill=\"{colour}\">{text}</text>"
        ));
    }

    /// Text that is read from below.
    pub fn upright(&mut self, (x, y): (f64, f64), size: f64, text: &str) {
        self.push(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" \
             text-anchor=\"middle\" fill=\"{INK}\">{text}</text>"
        ));
    }

    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: f64) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        ));
    }

    pub fn path(&mut self, points: &[(f64, f64)], colour: &str, width: f64, is_dashed: bool) {
        let places: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = if is_dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"{dashes}/>",
            places.join(" ")
        ));
    }

    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        self.push(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }

    pub fn finish(self, title: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"system-ui, 'DejaVu Sans', \
             sans-serif\" role=\"img\">\n<title>{title}</title>\n<rect width=\"{width}\" \
             height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

/// A logarithmic axis from one place to another.
#[derive(Clone, Copy)]
pub struct LogAxis {
    pub least: f64,
    pub most: f64,
    pub from: f64,
    pub to: f64,
}

impl LogAxis {
    pub fn at(&self, value: f64) -> f64 {
        let part =
            (value.clamp(self.least, self.most) / self.least).ln() / (self.most / self.least).ln();
        self.from + part * (self.to - self.from)
    }

    /// Powers of ten within it.
    pub fn tens(&self) -> impl Iterator<Item = f64> {
        let (least, most) = (
            self.least.log10().ceil() as i32,
            (self.most * 1.000_001).log10().floor() as i32,
        );
        (least..=most).map(|power| 10_f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic_and_ends_where_it_should() {
        let axis = LogAxis {
            least: 1.0,
            most: 100.0,
            from: 10.0,
            to: 30.0,
        };
        assert_eq!(
            [1.0, 10.0, 100.0, 1_000.0].map(|value| axis.at(value)),
            [10.0, 20.0, 30.0, 30.0]
        );
        assert_eq!(axis.tens().collect::<Vec<_>>(), [1.0, 10.0, 100.0]);
    }

    #[test]
    fn text_is_escaped() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text((0.0, 0.0), 10.0, Anchor::Start, INK, "a < b & c");
        assert!(drawing.finish("t").contains("a &lt; b &amp; c"));
    }
}
