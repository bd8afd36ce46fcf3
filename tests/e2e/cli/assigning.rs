//! `serinus assign`: against the judge, a plan in a file, and files of units.

use super::desk::{Desk, ID, NOWHERE, spec};
use crate::world::canary_after;
use serde_json::{Value, json};
use serinus_core::bucket::place;
use std::fmt::Write;

/// The arm that core's own planner gives, at 10%.
fn arm_of(unit: &str) -> &'static str {
    let allocation = canary_after(&[10]);
    let bucket = place(unit.as_bytes(), ID).bucket;
    match allocation.arm(bucket) {
        Some(1) => "canary",
        _ => "control",
    }
}

async fn with_segment() -> Desk {
    let desk = Desk::start().await;
    let mut spec = spec();
    spec["segments"] = json!([
        {"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": "control"}
    ]);
    desk.judge.create(&spec).await.unwrap();
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_its_arm_and_why() {
    let desk = with_segment().await;
    let units: Vec<String> = (0..40).map(|number| format!("user-{number}")).collect();
    let mut arguments = vec!["assign", ID, "-o", "json"];
    arguments.extend(units.iter().map(String::as_str));
    let found = desk.run(&arguments).await.json();
    let found = found.as_array().unwrap();
    for (unit, found) in units.iter().zip(found) {
        assert_eq!(found["unit"], **unit);
        assert_eq!(found["arm"], arm_of(unit), "{found}");
        assert_eq!(found["bucket"], place(unit.as_bytes(), ID).bucket);
        assert_eq!(
            (&found["why"], &found["salt"]),
            (&json!("weights"), &json!(ID))
        );
    }
    assert!(found.iter().any(|found| found["arm"] == "canary"));
    let canary = found.iter().find(|found| found["arm"] == "canary").unwrap();
    let canary = canary["unit"].as_str().unwrap();
    let table = desk.run(&["assign", ID, canary]).await.done();
    assert!(
        table.contains("by weights: buckets 9000 to 9999 are canary's"),
        "{table}"
    );
    let gold = ["assign", ID, canary, "--header", "x-card: gold"];
    let gold = desk.run(&gold).await.done();
    assert!(gold.contains("all of segment gold goes there"), "{gold}");
    // A plan in a file needs no judge.
    let plan = desk
        .judge
        .call(reqwest::Method::GET, "/v1/plan", None)
        .await
        .unwrap();
    let plan = desk.file("plan.json", &plan.body.to_string());
    let offline = desk
        .run(&["assign", ID, canary, "--plan", &plan])
        .await
        .done();
    assert_eq!(offline, table);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_users_as_csv_and_parquet() {
    let desk = with_segment().await;
    let mut users = "id,user name,card\n".to_owned();
    for number in 0..2_000 {
        let card = if number % 10 == 0 { "gold" } else { "" };
        writeln!(users, "{number},\"user,{number}\",{card}").unwrap();
    }
    let users = desk.file("users.csv", &users);
    let table = [
        "assign",
        ID,
        "--file",
        &users,
        "--column",
        "user name",
        "--header-column",
        "x-card=card",
    ];
    let said = desk.run(&table).await;
    assert!(
        said.error.starts_with("serinus: 2,000 units by plan "),
        "{said:?}"
    );
    assert!(!said.error.contains('\r'), "no bar for a pipe: {said:?}");
    let csv = said.done();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("unit,arm,segment,why,bucket,slot,randomised")
    );
    for (number, line) in lines.enumerate() {
        let unit = format!("user,{number}");
        let place = place(unit.as_bytes(), ID);
        let (bucket, slot) = (place.bucket, place.slot);
        let right = if number % 10 == 0 {
            format!("\"{unit}\",control,gold,rule,{bucket},{slot},false")
        } else {
            format!("\"{unit}\",{},,weights,{bucket},{slot},true", arm_of(&unit))
        };
        assert_eq!(line, right);
    }
    let to = desk.path("arms.csv");
    let mut into = table.to_vec();
    into.extend(["--to", &to]);
    assert_eq!(desk.run(&into).await.done(), "");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), csv);
    let to = desk.path("arms.parquet");
    into.pop();
    into.push(&to);
    desk.run(&into).await.done();
    assert!(std::fs::read(&to).unwrap().starts_with(b"PAR1"));
    // Units one a line, from standard input.
    let said = desk
        .run_with(&["assign", ID, "--file", "-"], "ada\n\nbob\r\n")
        .await;
    let said = said.done();
    let units: Vec<&str> = said.lines().skip(1).map(|line| &line[..3]).collect();
    assert_eq!(units, ["ada", "bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_assigned_is_said() {
    let odd = Desk::with_rollout().await;
    for arguments in [
        &["assign", ID, "ada", "--to", "x.csv"][..],
        &["assign", ID, "ada", "--column", "user"],
        &["assign", ID, "--file", "users.csv", "-o", "json"],
    ] {
        let said = odd.run(arguments).await;
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
    }
    let desk = with_segment().await;
    let users = desk.file("users.csv", "id,name\n1,ada\n2\n");
    let missing = desk.path("missing.csv");
    let broken = desk.file("plan.json", "{\"version\": 1, ");
    let to = desk.path("out.csv");
    for (arguments, code, words) in [
        (
            &["assign", "digit", "ada"][..],
            4,
            "there is no rollout `digit` in plan ",
        ),
        (&["assign", "digit", "ada"], 4, "did you mean `digits`?"),
        (&["assign", ID], 2, "<UNIT>"),
        (
            &["assign", ID, "ada", "--file", &users],
            2,
            "cannot be used with",
        ),
        (&["assign", ID, "ada", "--judge", NOWHERE], 3, "failed: "),
        (
            &["assign", ID, "--file", &missing],
            4,
            "--file: failed to read ",
        ),
        (
            &["assign", ID, "--file", &users, "--column", "user"],
            1,
            "--column: there is no column `user`; there are id, name",
        ),
        (
            &[
                "assign", ID, "--file", &users, "--column", "name", "--to", &to,
            ],
            1,
            "--file: is no table: ",
        ),
        (
            &["assign", ID, "--file", &users, "--to", "arms.xlsx"],
            2,
            "ends in neither .csv nor .parquet",
        ),
        (
            &["assign", ID, "--file", &users, "--to", "/nowhere/a.csv"],
            1,
            "--to: failed to make /nowhere/a.csv",
        ),
        (&["assign", ID, "ada", "--plan", &broken], 1, "--plan: "),
        (
            &["assign", ID, "ada", "--header", "x-card"],
            2,
            "a name, a colon and a value are right",
        ),
    ] {
        let said = desk.run(arguments).await;
        said.failed(code, words);
        assert!(!std::path::Path::new(&to).exists(), "{arguments:?}");
    }
    let said = desk.run(&["assign", ID, ""]).await.done();
    assert!(said.contains("an empty key is no unit"), "{said}");
    let none: Value = desk.run(&["assign", ID, "", "-o", "json"]).await.json();
    assert_eq!(none[0]["why"], "no_unit");
}
