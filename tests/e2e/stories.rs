//! The demo's three stories, at its scale and with its rules.

use crate::world::turn;
use serinus_tests::drawing::Tile;
use serinus_tests::lab::{Lab, Settings};
use serinus_tests::stories::{self, End, Moment, Screen, Stage};

const NATURAL_ERRORS: f64 = 0.005;

async fn stage() -> Stage {
    let settings = Settings {
        error_rate: NATURAL_ERRORS,
        ..Settings::default()
    };
    let lab = Lab::start(&settings).await.unwrap();
    Stage::new(lab, 30_000, 1_000, NATURAL_ERRORS).unwrap()
}

/// What happened, for whoever reads why a test failed.
struct Printed;

impl Screen for Printed {
    fn title(&mut self, title: &str, _: &[String]) {
        println!("{title}");
    }
    fn moment(&mut self, moment: &Moment) {
        let said = moment
            .status
            .as_ref()
            .and_then(|status| status.evaluation.as_ref());
        println!(
            "{:.0} s: {} / {} requests, {:?}, {:?}",
            moment.seconds,
            moment.control_requests,
            moment.canary_requests,
            said.map(|evaluation| &evaluation.reasons),
            moment.cells
        );
    }
    fn event(&mut self, seconds: f64, text: &str) {
        println!("{seconds:.1} s: {text}");
    }
    fn pictures(&mut self, heading: &str, tiles: &[Tile]) {
        println!("{heading} {} pictures", tiles.len());
    }
    fn text(&mut self, lines: &[String]) {
        println!("{}", lines.join("\n"));
    }
}

fn went_well(end: &End) {
    assert!(end.problems.is_empty(), "{:#?}", end.problems);
    assert!(end.replay.starts_with("same verdict"), "{}", end.replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_but_200_is_rolled_back() {
    let _turn = turn().await;
    let end = stories::wrong_but_200::tell(&mut stage().await, &mut Printed)
        .await
        .unwrap();
    went_well(&end);
    // What has no model to ask sees nothing wrong, and promotes.
    assert!(end.users_hurt as f64 <= end.peers.flagger.users_hurt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_goes_through_a_shared_incident() {
    let _turn = turn().await;
    let end = stories::shared_incident::tell(&mut stage().await, &mut Printed)
        .await
        .unwrap();
    went_well(&end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_one_is_taken_back_with_the_judge_dead() {
    let _turn = turn().await;
    let end = stories::judge_dead::tell(&mut stage().await, &mut Printed)
        .await
        .unwrap();
    went_well(&end);
    assert!((end.users_hurt as f64) < end.peers.flagger.users_hurt);
}
