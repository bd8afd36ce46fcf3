use super::*;
use proptest::prelude::*;

fn split(feature: usize, threshold: f32, left: usize, right: usize) -> Raw<f32> {
    Raw::Split(Split {
        feature,
        threshold,
        missing_right: false,
        left,
        right,
        test: Test::Number,
    })
}

fn sums(forest: &Forest<f32>, rows: &[f32], count: usize) -> Vec<f32> {
    let mut sums = vec![0.0; count * forest.groups];
    forest.add_sums(rows, &mut sums);
    sums
}

#[test]
fn rows_reach_their_leaves_in_any_batch() {
    let mut forest = Forest::new(2, 1);
    let tree = [
        split(0, 0.5, 1, 2),
        Raw::Leaf(1.0),
        split(1, 0.0, 3, 4),
        Raw::Leaf(10.0),
        Raw::Leaf(100.0),
    ];
    forest.add(0, &tree).unwrap();
    let cases = [
        ([0.4, 9.0], 1.0),
        ([0.5, -1.0], 10.0),
        ([0.5, 0.0], 100.0),
        ([f32::NAN, 0.0], 1.0),
        ([f32::INFINITY, f32::INFINITY], 100.0),
    ];
    for (row, right) in cases {
        assert_eq!(sums(&forest, &row, 1), [right], "{row:?}");
    }
    let rows: Vec<f32> = cases
        .iter()
        .cycle()
        .take(21)
        .flat_map(|(row, _)| *row)
        .collect();
    let expected: Vec<f32> = cases
        .iter()
        .cycle()
        .take(21)
        .map(|(_, right)| *right)
        .collect();
    assert_eq!(sums(&forest, &rows, 21), expected);
}

#[test]
fn trees_add_to_their_own_group() {
    let mut forest = Forest::new(1, 2);
    forest.add(1, &[Raw::Leaf(2.0_f32)]).unwrap();
    forest.add(0, &[Raw::Leaf(3.0)]).unwrap();
    forest.add(1, &[Raw::Leaf(4.0)]).unwrap();
    assert_eq!(sums(&forest, &[0.0, 0.0], 2), [3.0, 6.0, 3.0, 6.0]);
}

#[test]
fn categories_and_zeros_have_their_own_ways() {
    let with = |test: Test, missing_right: bool| {
        let mut forest = Forest::new(1, 1);
        let root = Raw::Split(Split {
            feature: 0,
            threshold: 0.5_f32,
            missing_right,
            left: 1,
            right: 2,
            test,
        });
        forest
            .add(0, &[root, Raw::Leaf(-1.0), Raw::Leaf(1.0)])
            .unwrap();
        forest
    };
    let members = vec![0b101, 0b10];
    let category = with(
        Test::Category {
            members,
            members_right: true,
        },
        false,
    );
    let rows = [0.0, 1.0, 2.0, 33.0, 1e9, -0.5, f32::NAN, 2.9];
    assert_eq!(
        sums(&category, &rows, 8),
        [1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0]
    );
    let zero = with(Test::ZeroIsMissing, true);
    assert_eq!(
        sums(&zero, &[0.0, 0.1, f32::NAN, 0.5], 4),
        [1.0, -1.0, 1.0, 1.0]
    );
}

#[test]
fn a_broken_tree_is_refused_in_words() {
    let leaf = || Raw::Leaf(0.0);
    let deep = |depth: usize| -> Vec<Raw<f32>> {
        let chain = (0..depth).flat_map(|at| [split(0, 0.0, 2 * at + 1, 2 * at + 2), leaf()]);
        chain.chain([leaf()]).collect()
    };
    // In a chain the right child is the next split: nodes 0, 2, 4, ...
    let cases = [
        (vec![], "names node 0, but has 0 nodes"),
        (vec![split(0, 0.0, 1, 2), leaf()], "names node 2, but has 2"),
        (
            vec![split(0, 0.0, 0, 1), leaf()],
            "reaches node 0 by two ways",
        ),
        (
            vec![split(0, 0.0, 1, 1), leaf()],
            "reaches node 1 by two ways",
        ),
        (
            vec![split(7, 0.0, 1, 2), leaf(), leaf()],
            "tests feature 7 at node 0",
        ),
        (
            vec![split(0, f32::NAN, 1, 2), leaf(), leaf()],
            "threshold that is NaN",
        ),
        (
            vec![Raw::Leaf(f32::INFINITY)],
            "without a finite value at node 0",
        ),
        (deep(MAX_DEPTH as usize + 1), "is deeper than 4096 splits"),
    ];
    for (tree, expected) in cases {
        let error = Forest::new(2, 1).add(0, &tree).unwrap_err();
        assert!(
            error.contains(expected),
            "expected `{expected}`, found `{error}`"
        );
    }
    let group = Forest::new(2, 1).add(1, &[leaf()]).unwrap_err();
    assert!(group.contains("is for output 1"), "{group}");
}

proptest! {
    /// Whatever is accepted ends, and gives a leaf's value.
    #[test]
    fn any_tree_is_refused_or_walked(
        raw in prop::collection::vec((0_usize..3, -1.0_f32..1.0, 0_usize..9, 0_usize..9, any::<bool>()), 0..9),
        row in prop::collection::vec(any::<f32>(), 2),
    ) {
        let tree: Vec<_> = raw.iter().map(|&(feature, threshold, left, right, leaf)| {
            if leaf { Raw::Leaf(1.0) } else { split(feature, threshold, left, right) }
        }).collect();
        let mut forest = Forest::new(2, 1);
        if forest.add(0, &tree).is_ok() {
            prop_assert_eq!(sums(&forest, &row, 1), [1.0]);
        }
    }
}
