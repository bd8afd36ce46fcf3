use super::*;
use proptest::prelude::*;

/// `x0 <= 0.5` gives -1, else `x1` in {0, 2} gives 2, else 3.
const MODEL: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 0:1:2
tree_sizes=300

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=1 1
threshold=0.5 0
decision_type=8 1
left_child=-1 -2
right_child=1 -3
leaf_value=-1 2 3
leaf_weight=1 1 1
leaf_count=1 1 1
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1


end of trees

parameters:
end of parameters

pandas_categorical:null
";

fn refused(part: &str, by: &str) -> String {
    assert!(MODEL.contains(part), "`{part}` is not in the model");
    read(MODEL.replace(part, by).as_bytes(), None)
        .unwrap_err()
        .to_string()
}

fn outputs(model: &str, rows: &[f64]) -> Vec<f32> {
    read(model.as_bytes(), None).unwrap().run(rows)
}

#[test]
fn numbers_and_categories_are_told_apart() {
    let rows = [
        [0.5, 0.0],
        [0.5_f64.next_up(), 0.0],
        [1.0, 1.0],
        [1.0, 2.0],
        [1.0, f64::NAN],
        [f64::NAN, 2.0],
        [1.0, -3.0],
        [1.0, -0.5],
    ];
    assert_eq!(
        outputs(MODEL, rows.as_flattened()),
        [-1.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 2.0]
    );
}

#[test]
fn what_is_missing_is_said_by_the_split() {
    let numeric = MODEL.replace("decision_type=8 1", "decision_type=DT 1");
    // (decision type, output of NaN, output of 0): b has category 0.
    let cases = [
        (0, -1.0, -1.0),
        (2, -1.0, -1.0),
        (4, 2.0, 2.0),
        (6, -1.0, -1.0),
        (8, 2.0, -1.0),
        (10, -1.0, -1.0),
    ];
    for (kind, of_nan, of_zero) in cases {
        let model = numeric.replace("DT", &kind.to_string());
        assert_eq!(
            outputs(&model, &[f64::NAN, 0.0, 0.0, 0.0]),
            [of_nan, of_zero],
            "{kind}"
        );
    }
}

#[test]
fn a_random_forest_is_averaged() {
    let tree = &MODEL[MODEL.find("Tree=0").unwrap()..MODEL.find("end of trees").unwrap()];
    let model = MODEL
        .replace(tree, &format!("{tree}{}", tree.replace("-1 2 3", "-2 2 3")))
        .replace("tree_sizes=300", "tree_sizes=300 300\naverage_output");
    assert_eq!(outputs(&model, &[0.0, 0.0]), [-1.5]);
}

#[test]
fn what_is_not_supported_is_named() {
    let cases = [
        ("version=v4", "version=v2", "version `v2`"),
        (
            "objective=regression",
            "objective=magic",
            "objective `magic`",
        ),
        ("is_linear=0", "is_linear=1", "tree 0 has linear leaves"),
        (
            "pandas_categorical:null",
            "pandas_categorical:[[\"a\"]]",
            "categories of a pandas",
        ),
        ("split_feature=0 1", "split_feature=0 7", "tests feature 7"),
        (
            "split_feature=0 1",
            "split_feature=0",
            "splits, but 2 belong",
        ),
        ("split_feature=0 1\n", "", "has no `split_feature`"),
        ("left_child=-1 -2", "left_child=-1 0", "by two ways"),
        ("left_child=-1 -2", "left_child=-1 -9", "names child -9"),
        (
            "cat_boundaries=0 1",
            "cat_boundaries=0 4",
            "no categories for its set 0",
        ),
        ("decision_type=8", "decision_type=32", "decision type 32"),
        (
            "leaf_value=-1 2 3",
            "leaf_value=-1 2 nan",
            "without a finite value",
        ),
        (
            "leaf_value=-1 2 3",
            "leaf_value=-1 2 x",
            "has `x` in leaf_value",
        ),
        ("threshold=0.5", "threshold=inf", "must be finite"),
        ("num_leaves=3", "num_leaves=4", "num_leaves"),
        ("tree_sizes=300", "tree_sizes=300 300", "announces 2 trees"),
        ("tree\n", "forest\n", "first line must be `tree`"),
        (
            "max_feature_idx=1",
            "max_feature_idx=-1",
            "max_feature_idx is `-1`",
        ),
    ];
    for (part, by, expected) in cases {
        let found = refused(part, by);
        assert!(
            found.contains(expected),
            "{by}: expected `{expected}`, found `{found}`"
        );
    }
}

#[test]
fn a_truncated_file_is_named() {
    let end = MODEL.find("\nend of parameters").unwrap();
    for length in 4..end {
        let error = read(&MODEL.as_bytes()[..length], None).unwrap_err();
        assert!(
            matches!(error, TreesError::Truncated(_)),
            "{length}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(at in 0_usize..2_000, byte in any::<u8>()) {
        let mut text = MODEL.as_bytes().to_vec();
        let length = text.len();
        text[at % length] = byte;
        if let Ok(trees) = read(&text, None) {
            trees.run(&[0.0, f64::NAN]);
        }
    }
}
