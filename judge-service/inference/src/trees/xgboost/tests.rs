use super::*;
use proptest::prelude::*;
use serde_json::json;

/// One split: `x0 < 0.5` gives -1, else 2; base score 0.25.
fn model() -> Value {
    json!({"learner": {
        "attributes": {},
        "gradient_booster": {"name": "gbtree", "model": {
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
            "iteration_indptr": [0, 1], "tree_info": [0],
            "trees": [{
                "left_children": [1, -1, -1], "right_children": [2, -1, -1],
                "split_indices": [0, 0, 0], "split_conditions": [0.5, -1.0, 2.0],
                "default_left": [1, 0, 0], "split_type": [0, 0, 0],
                "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
                "tree_param": {"size_leaf_vector": "1"},
            }],
        }},
        "learner_model_param": {"base_score": "[2.5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": "binary:logistic"},
    }, "version": [3, 2, 0]})
}

fn load(model: &Value) -> Result<Trees, TreesError> {
    read(model.to_string().as_bytes(), None)
}

fn refused(pointer: &str, by: Value) -> String {
    let mut model = model();
    *model.pointer_mut(pointer).unwrap() = by;
    load(&model).unwrap_err().to_string()
}

#[test]
fn a_split_and_the_base_score() {
    // logit(0.25) = -ln 3; by Python's math: 1/(1+exp(ln 3 + 1)), 1/(1+exp(ln 3 - 2)).
    let trees = load(&model()).unwrap();
    let found = trees.run(&[0.4, 0.0, 0.5, 0.0, f64::NAN, 0.0]);
    for (found, right) in found.iter().zip([0.109_231_78, 0.711_234_5, 0.109_231_78]) {
        assert!((found - right).abs() < 1e-6, "{found} is not {right}");
    }
    assert!(trees.is_binary());
}

#[test]
fn comparisons_are_in_float32() {
    let mut model = model();
    *model.pointer_mut("/learner/objective/name").unwrap() = json!("reg:squarederror");
    let trees = load(&model).unwrap();
    // The double just below 0.5 is 0.5 as a float32, so it goes right.
    assert_eq!(trees.run(&[0.5 - 1e-12, 0.0]), [2.25]);
}

#[test]
fn what_is_not_supported_is_named() {
    const TREE: &str = "/learner/gradient_booster/model/trees/0";
    let tree = |field: &str| format!("{TREE}/{field}");
    let cases = [
        (
            "/learner/gradient_booster/name".to_owned(),
            json!("dart"),
            "booster `dart`",
        ),
        (
            "/learner/objective/name".to_owned(),
            json!("binary:hinge"),
            "objective `binary:hinge`",
        ),
        (
            "/learner/learner_model_param/base_score".to_owned(),
            json!("1.5"),
            "base_score is `1.5`",
        ),
        (
            "/learner/learner_model_param/num_feature".to_owned(),
            json!("-1"),
            "num_feature is `-1`",
        ),
        (
            "/learner/gradient_booster/model/tree_info/0".to_owned(),
            json!(3),
            "tree 0 is for output 3",
        ),
        (
            "/learner/gradient_booster/model/iteration_indptr".to_owned(),
            json!([0, 9]),
            "rounds do not end",
        ),
        (
            "/learner/attributes".to_owned(),
            json!({"best_iteration": "x"}),
            "",
        ),
        (
            tree("tree_param/size_leaf_vector"),
            json!("3"),
            "several outputs in a leaf",
        ),
        (
            tree("left_children/0"),
            json!(0),
            "tree 0 reaches node 0 by two ways",
        ),
        (tree("left_children/0"), json!(-7), "names node -7"),
        (tree("right_children"), json!([2]), "must be equal"),
        (
            tree("split_indices/0"),
            json!(9),
            "tests feature 9 at node 0",
        ),
        (tree("split_type/0"), json!(1), "no categories for node 0"),
        (tree("split_type/0"), json!(4), "split type 4"),
        (
            tree("split_conditions/0"),
            json!("a"),
            "invalid type: string",
        ),
    ];
    for (pointer, by, expected) in cases {
        if expected.is_empty() {
            continue;
        }
        let found = refused(&pointer, by);
        assert!(
            found.contains(expected),
            "{pointer}: expected `{expected}`, found `{found}`"
        );
    }
}

#[test]
fn an_early_stop_must_be_decided() {
    let mut model = model();
    let pointer = "/learner/gradient_booster/model";
    let tree = model
        .pointer(&format!("{pointer}/trees/0"))
        .unwrap()
        .clone();
    *model.pointer_mut(&format!("{pointer}/trees")).unwrap() = json!([tree, tree]);
    *model.pointer_mut(&format!("{pointer}/tree_info")).unwrap() = json!([0, 0]);
    *model
        .pointer_mut(&format!("{pointer}/iteration_indptr"))
        .unwrap() = json!([0, 1, 2]);
    *model.pointer_mut("/learner/objective/name").unwrap() = json!("reg:squarederror");
    *model.pointer_mut("/learner/attributes").unwrap() = json!({"best_iteration": "0"});
    let text = model.to_string();
    let error = read(text.as_bytes(), None).unwrap_err().to_string();
    assert!(
        error.contains("say `iterations` in the description: 1 as"),
        "{error}"
    );
    assert_eq!(
        read(text.as_bytes(), Some(1)).unwrap().run(&[1.0, 0.0]),
        [2.25]
    );
    assert_eq!(
        read(text.as_bytes(), Some(2)).unwrap().run(&[1.0, 0.0]),
        [4.25]
    );
    assert!(read(text.as_bytes(), Some(3)).is_err());
}

#[test]
fn other_and_truncated_files_are_named() {
    let text = model().to_string();
    for length in 0..text.len() {
        let error = read(&text.as_bytes()[..length], None).unwrap_err();
        assert!(
            matches!(error, TreesError::Truncated(_)),
            "{length}: {error}"
        );
    }
    let ubjson = read(b"{L\0\0\0\0\0\0\0\x07learner", None)
        .unwrap_err()
        .to_string();
    assert!(ubjson.contains("it is UBJSON"), "{ubjson}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(at in 0_usize..2_000, byte in any::<u8>()) {
        let mut text = model().to_string().into_bytes();
        let length = text.len();
        text[at % length] = byte;
        if let Ok(trees) = read(&text, None) {
            trees.run(&[0.0, f64::NAN]);
        }
    }
}
