//! The two pictures.

use crate::drawing::{Anchor, COLOURS, Drawing, FAINT, GREY, INK, LogAxis};
use crate::rollback;
use crate::row::Row;

/// 25,000 as "25 k".
pub fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e3 => format!("{} k", v / 1e3),
        v => format!("{v}"),
    }
}

/// Ours, from the loosest to the strictest.
const BLUES: [&str; 3] = ["#7db8e8", "#0072b2", "#00365c"];

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 100.0)
}

/// The share of good canaries that each rule has taken back, over requests.
pub fn false_rollbacks(rows: &[Row]) -> Option<String> {
    let row = rows.iter().find(|row| row.world.name == "iid")?;
    let shown = [
        "naive z at each look",
        "asymptotic sequence, wrong either way",
        "Flagger's rule",
        "Argo Rollouts' rule, at most 2%",
        "Kayenta every minute",
        "Kayenta every 10 minutes",
    ];
    let mut drawing = Drawing::new(960.0, 520.0);
    let x = LogAxis {
        least: 100.0,
        most: row.world.requests as f64,
        from: 84.0,
        to: 620.0,
    };
    let y = LogAxis {
        least: 0.0002,
        most: 1.0,
        from: 440.0,
        to: 70.0,
    };
    drawing.text(
        (24.0, 34.0),
        18.0,
        Anchor::Start,
        INK,
        "Good canaries taken back: the canary is as good as control, 1% errors",
    );
    let words = format!(
        "{} runs each; 10% of users on the canary; 1,000 requests a minute; \
         a look every 25 requests",
        row.rules.first()?.1.runs()
    );
    drawing.text((24.0, 54.0), 13.0, Anchor::Start, GREY, &words);
    for ten in x.tens() {
        drawing.line((x.at(ten), y.from), (x.at(ten), y.to), FAINT, 1.0);
        drawing.text(
            (x.at(ten), y.from + 20.0),
            13.0,
            Anchor::Middle,
            INK,
            &short(ten),
        );
    }
    drawing.text(
        (x.to, y.from + 20.0),
        13.0,
        Anchor::Middle,
        INK,
        &short(x.most),
    );
    for ten in y.tens() {
        drawing.line((x.from, y.at(ten)), (x.to, y.at(ten)), FAINT, 1.0);
        drawing.text(
            (x.from - 8.0, y.at(ten) + 4.0),
            13.0,
            Anchor::End,
            INK,
            &percent(ten),
        );
    }
    drawing.line((x.from, y.from), (x.to, y.from), INK, 1.0);
    drawing.line((x.from, y.from), (x.from, y.to), INK, 1.0);
    drawing.path(&[(x.from, y.at(0.05)), (x.to, y.at(0.05))], INK, 1.0, true);
    drawing.text(
        (x.from + 8.0, y.at(0.05) - 6.0),
        12.0,
        Anchor::Start,
        INK,
        "alpha 5%",
    );
    drawing.text(
        (f64::midpoint(x.from, x.to), 486.0),
        14.0,
        Anchor::Middle,
        INK,
        "requests since the start (logarithmic)",
    );
    drawing.upright(
        (26.0, f64::midpoint(y.from, y.to)),
        14.0,
        "share of good canaries taken back (logarithmic)",
    );

    let ours = rollback::ALPHAS.map(|alpha| format!("ours, alpha {alpha}"));
    let peers = shown.iter().map(|&name| name.to_owned());
    let names: Vec<(String, &str, bool)> = peers
        .zip(COLOURS.into_iter().skip(1))
        .map(|(name, colour)| (name, colour, false))
        .chain(
            ours.into_iter()
                .zip(BLUES)
                .map(|(name, blue)| (name, blue, true)),
        )
        .collect();
    for (index, (name, colour, is_ours)) in names.iter().enumerate() {
        let times = row.rule(name)?;
        let width = if *is_ours { 3.0 } else { 1.8 };
        let points: Vec<(f64, f64)> = (0..=240)
            .map(|step| x.least * (x.most / x.least).powf(f64::from(step) / 240.0))
            .map(|at| (x.at(at), y.at(times.by(at).max(1e-9))))
            .skip_while(|&(_, height)| height >= y.from)
            .collect();
        if points.len() > 1 {
            drawing.path(&points, colour, width, false);
        }
        let place = 84.0 + 34.0 * index as f64;
        drawing.line(
            (640.0, place - 4.0),
            (664.0, place - 4.0),
            colour,
            width + 1.0,
        );
        drawing.text((672.0, place), 13.0, Anchor::Start, INK, name);
        drawing.text(
            (672.0, place + 15.0),
            12.0,
            Anchor::Start,
            GREY,
            &format!("{} at the end", percent(times.rate())),
        );
    }
    Some(drawing.finish("Good canaries taken back, over requests, by rule"))
}

/// Requests until each rule has taken back a bad canary.
pub fn detection(rows: &[Row], good: &[Row]) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.world.name == "iid").collect();
    let first = rows.first()?;
    let shown = [
        "oracle, alpha 0.001",
        "ours, alpha 0.001",
        "ours, alpha 0.01",
        "ours, alpha 0.05",
        "asymptotic sequence",
        "naive z at each look",
        "Kayenta every minute",
        "Kayenta every 10 minutes",
        "Flagger's rule",
        "Argo Rollouts' rule, at most 2%",
    ];
    let good = good.iter().find(|row| row.world.name == "iid");
    // What a rule is worth depends on how often it is wrong; the sequence's errors are
    // mostly in the other direction, and are errors all the same.
    let worth = |name: &str| {
        let shown = if name == "asymptotic sequence" {
            "asymptotic sequence, wrong either way"
        } else {
            name
        };
        match good.and_then(|row| row.rule(shown)) {
            Some(times) if shown == name => {
                format!("takes {} of good ones back", percent(times.rate()))
            }
            Some(times) => format!("wrong about {} of good ones", percent(times.rate())),
            None => "knows how bad it is".to_owned(),
        }
    };
    let (top, row_height) = (104.0, 40.0);
    let bottom = top + row_height * shown.len() as f64;
    let mut drawing = Drawing::new(960.0, bottom + 70.0);
    let x = LogAxis {
        least: 100.0,
        most: 1e6,
        from: 270.0,
        to: 920.0,
    };
    drawing.text(
        (24.0, 34.0),
        18.0,
        Anchor::Start,
        INK,
        "Requests until a bad canary is taken back: control 1% errors",
    );
    let words = format!(
        "dot: median; line: to 90% of {} runs; 10% of users on the canary; \
         1,000 requests a minute; \"good ones\": in 250 k requests",
        first.rules.first()?.1.runs()
    );
    drawing.text((24.0, 54.0), 13.0, Anchor::Start, GREY, &words);
    for (index, (row, colour)) in rows.iter().zip(COLOURS).enumerate() {
        let place = 270.0 + 200.0 * index as f64;
        drawing.dot((place, 76.0), 6.0, colour);
        drawing.text(
            (place + 12.0, 81.0),
            13.0,
            Anchor::Start,
            INK,
            &format!("{} times the errors", row.world.ratio),
        );
    }
    for ten in x.tens() {
        drawing.line((x.at(ten), top - 8.0), (x.at(ten), bottom), FAINT, 1.0);
        drawing.text(
            (x.at(ten), bottom + 20.0),
            13.0,
            Anchor::Middle,
            INK,
            &short(ten),
        );
    }
    drawing.line((x.from, bottom), (x.to, bottom), INK, 1.0);
    drawing.text(
        (f64::midpoint(x.from, x.to), bottom + 48.0),
        14.0,
        Anchor::Middle,
        INK,
        "requests to both arms (logarithmic)",
    );
    for (index, name) in shown.into_iter().enumerate() {
        let middle = top + row_height * (index as f64 + 0.5);
        drawing.text((x.from - 14.0, middle), 13.0, Anchor::End, INK, name);
        drawing.text(
            (x.from - 14.0, middle + 14.0),
            11.0,
            Anchor::End,
            GREY,
            &worth(name),
        );
        for (lane, (row, colour)) in rows.iter().zip(COLOURS).enumerate() {
            let height = middle - 8.0 + 9.0 * lane as f64;
            let times = row.rule(name)?;
            let Some(median) = times.quantile(0.5).filter(|&median| median <= x.most) else {
                let caught = format!("{} caught in {}", percent(times.by(x.most)), short(x.most));
                drawing.text((x.to, height + 4.0), 10.0, Anchor::End, colour, &caught);
                continue;
            };
            let ninety = times.quantile(0.9).unwrap_or(x.most);
            drawing.line((x.at(median), height), (x.at(ninety), height), colour, 2.0);
            drawing.dot((x.at(median), height), 4.5, colour);
        }
    }
    Some(drawing.finish("Requests until a bad canary is taken back, by rule"))
}
