//! The worlds that are raced.

use super::{Crowd, Hog, Lateness, Unit, Weather, World};

const REQUESTS: u64 = 250_000;
const RAMP: [f64; 3] = [0.1, 0.25, 0.75];

/// 5% of users have 15% errors, the others 0.26%.
const DIFFER: Crowd = Crowd {
    frail: Some(0.15),
    ..Crowd::ALIKE
};

/// Every request from a new user, one of a hundred fails.
#[must_use]
pub fn iid() -> World {
    World {
        name: "iid",
        words: "every request from a new user, 1% errors",
        requests: REQUESTS,
        crowd: Crowd {
            users: 0,
            ..Crowd::ALIKE
        },
        weather: Weather::Calm,
        steps: vec![0.1],
        ratio: 1.0,
        from_step: 0,
        lateness: Lateness::default(),
        under_way: false,
    }
}

fn world(name: &'static str, words: &'static str, crowd: Crowd) -> World {
    World {
        name,
        words,
        crowd,
        ..iid()
    }
}

/// Worlds in which the canary is no worse: taking it back is false.
#[must_use]
pub fn all() -> Vec<World> {
    let ramp = RAMP.to_vec();
    let third_step = World {
        steps: ramp.clone(),
        ratio: 2.0,
        from_step: 2,
        ..world(
            "third_step",
            "10, 25, 75% of users; twice the errors from the third step on (taking it back before is false)",
            DIFFER,
        )
    };
    let mut worlds = vec![
        iid(),
        world(
            "users_differ",
            "20,000 users, 5% of them with 15% errors",
            DIFFER,
        ),
        world(
            "hundred_requests",
            "2,500 users of 100 requests each, 5% of them with 15% errors",
            Crowd {
                users: 2_500,
                ..DIFFER
            },
        ),
        world(
            "own_user",
            "users differ, but every request is its own user (unit.kind: request)",
            Crowd {
                unit: Unit::Request,
                ..DIFFER
            },
        ),
        World {
            steps: ramp.clone(),
            ..world("ramp", "10, 25, 75% of users, who differ", DIFFER)
        },
        World {
            weather: Weather::Turning { from: 1.0, to: 3.0 },
            ..world(
                "rising",
                "errors of all rise from 1 to 3%, users differ",
                DIFFER,
            )
        },
        World {
            weather: Weather::Daily {
                swing: 0.8,
                days: 5.0,
            },
            ..world(
                "diurnal",
                "errors of all between 0.2 and 1.8%, five days",
                DIFFER,
            )
        },
        World {
            steps: ramp.clone(),
            weather: Weather::Turning { from: 1.0, to: 3.0 },
            ..world(
                "ramp_rising",
                "10, 25, 75% of users while errors of all rise from 1 to 3%, users differ",
                DIFFER,
            )
        },
        World {
            steps: ramp.clone(),
            weather: Weather::Daily {
                swing: 0.8,
                days: 2.0,
            },
            ..world(
                "returning",
                "users come one after the other and four times, on a ramp",
                Crowd {
                    visits: 4,
                    ..DIFFER
                },
            )
        },
        World {
            lateness: Lateness {
                canary: 5_000,
                ..Lateness::default()
            },
            ..world(
                "late_canary",
                "the canary's errors become known 5,000 requests later",
                DIFFER,
            )
        },
        World {
            lateness: Lateness {
                random: 10_000.0,
                ..Lateness::default()
            },
            ..world(
                "delayed_outcomes",
                "all outcomes known later, by 10,000 requests on average",
                DIFFER,
            )
        },
        third_step,
        world(
            "half_of_traffic",
            "one unit sends half of all requests, with 3% errors",
            Crowd {
                hog: Some(Hog {
                    traffic: 0.5,
                    rate: 0.03,
                }),
                ..DIFFER
            },
        ),
        World {
            weather: Weather::Outage {
                from: 0.4,
                to: 0.6,
                times: 50.0,
            },
            ..world(
                "both_fail",
                "half of all requests fail, in both arms, for a fifth of the time",
                Crowd::ALIKE,
            )
        },
        world(
            "bot",
            "a bot sends 30% of all requests, and half of those fail",
            Crowd {
                hog: Some(Hog {
                    traffic: 0.3,
                    rate: 0.5,
                }),
                ..DIFFER
            },
        ),
        World {
            weather: Weather::Bursts {
                every: 20_000.0,
                length: 1_000,
                times: 30.0,
            },
            ..world(
                "bursts",
                "30% errors in both arms in 1,000 of every 20,000 requests",
                Crowd {
                    users: 0,
                    ..Crowd::ALIKE
                },
            )
        },
        World {
            steps: ramp,
            weather: Weather::Turning { from: 1.0, to: 5.0 },
            ratio: 0.8,
            ..world(
                "simpson",
                "errors of all rise on a ramp, and the canary errs 0.8 times as often: pooled, it looks worse",
                DIFFER,
            )
        },
    ];
    let [_, counted] = delayed();
    worlds.push(counted);
    worlds
}

/// Control's errors are time-outs, known 5 s later at 1,000 requests a second, and the
/// canary's are known at once: judged by what is known alone, and as the judge does it.
#[must_use]
pub fn delayed() -> [World; 2] {
    let counted = World {
        lateness: Lateness {
            control: 5_000,
            ..Lateness::default()
        },
        under_way: true,
        ..world(
            "late_control",
            "control's errors known 5,000 requests later, canary's at once",
            DIFFER,
        )
    };
    let known_alone = World {
        name: "late_control_known_alone",
        words: "the same, if what is under way counted for nothing",
        under_way: false,
        ..counted.clone()
    };
    [known_alone, counted]
}

/// What peers are run in beside ours: 1,000 requests a minute.
#[must_use]
pub fn peers() -> Vec<World> {
    let shown = [
        "iid",
        "users_differ",
        "rising",
        "ramp_rising",
        "bursts",
        "simpson",
    ];
    let mut worlds = all();
    worlds.retain(|world| shown.contains(&world.name));
    worlds
}

/// Canaries that err so many times as often, by world.
#[must_use]
pub fn regressions() -> Vec<World> {
    let mut worlds = Vec::new();
    for base in all() {
        let ratios: &[f64] = match base.name {
            "iid" => &[5.0, 2.0, 1.5],
            "users_differ" | "hundred_requests" | "own_user" | "ramp_rising" | "bursts" => {
                &[5.0, 2.0]
            }
            "third_step" => &[2.0],
            _ => continue,
        };
        // Long enough that the oracle and ours end in (almost) every run.
        let requests = if base.name == "iid" {
            4 * REQUESTS
        } else {
            REQUESTS
        };
        let worse = |&ratio| World {
            ratio,
            requests,
            ..base.clone()
        };
        worlds.extend(ratios.iter().map(worse));
    }
    worlds
}

/// Events that are rare: answers that the model file does not give, and the sparse
/// errors of kayenta#426.
#[must_use]
pub fn rare() -> [World; 2] {
    let rare = |name, words, base, ratio| World {
        ratio,
        ..world(
            name,
            words,
            Crowd {
                base,
                users: 0,
                ..Crowd::ALIKE
            },
        )
    };
    [
        rare(
            "mismatches",
            "0.2% of answers are not the model's, of the canary's 1%",
            0.002,
            5.0,
        ),
        rare(
            "sparse",
            "one request in 10,000 fails, of the canary's one in 500",
            0.0001,
            20.0,
        ),
    ]
}
