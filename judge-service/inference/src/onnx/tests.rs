//! What a graph is refused for, when the model is created.

use super::message::{
    Attribute, Dimension, Graph, Model, Node, Opaque, OperatorSet, Shape, TensorData, TensorType,
    Type, ValueInfo,
};
use super::*;
use proptest::prelude::*;

fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        op_type: Some(op.to_owned()),
        ..Node::default()
    }
}

fn value(name: &str, dims: &[Option<i64>]) -> ValueInfo {
    let dim = dims
        .iter()
        .map(|dim| Dimension { dim_value: *dim })
        .collect();
    let tensor = TensorType {
        elem_type: Some(1),
        shape: Some(Shape { dim }),
    };
    ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type {
            tensor: Some(tensor),
        }),
    }
}

fn weight(dims: &[i64]) -> TensorData {
    let count = dims.iter().product::<i64>();
    TensorData {
        dims: dims.to_vec(),
        data_type: Some(1),
        float_data: (0..count).map(|at| at as f32).collect(),
        name: Some("w".to_owned()),
        ..TensorData::default()
    }
}

/// `y = x w`, for rows of two numbers.
fn model() -> Model {
    Model {
        ir_version: Some(9),
        graph: Some(Graph {
            node: vec![node("MatMul", &["x", "w"], "y")],
            initializer: vec![weight(&[2, 2])],
            input: vec![value("x", &[None, Some(2)])],
            output: vec![value("y", &[])],
            sparse_initializer: Vec::new(),
        }),
        opset_import: vec![OperatorSet {
            domain: None,
            version: Some(17),
        }],
    }
}

fn description() -> Description {
    let text = r#"{"name": "m", "weights": "m.onnx", "format": "onnx",
        "input": {"name": "x", "shape": [2], "datatype": "FP32"},
        "output": {"name": "y", "kind": "values"}}"#;
    Description::parse(text.as_bytes()).unwrap()
}

fn load(model: &Model) -> Result<Onnx, BuildError> {
    Onnx::new(&description(), &model.encode_to_vec())
}

#[test]
fn a_product_is_computed_for_any_batch() {
    let onnx = load(&model()).unwrap();
    assert!(onnx.together && onnx.outputs == 2);
    let found = onnx.run(&[1.0, 10.0, 2.0, 0.0], 2).unwrap();
    assert_eq!(found, [20.0, 31.0, 0.0, 2.0]);
}

#[test]
fn what_is_not_supported_is_named_at_creation() {
    let attribute = Attribute {
        name: Some("mode".to_owned()),
        ..Attribute::default()
    };
    let with = |change: &dyn Fn(&mut Graph)| {
        let mut model = model();
        change(model.graph.as_mut().unwrap());
        model
    };
    let first = |change: &dyn Fn(&mut Node)| with(&|graph| change(graph.node.first_mut().unwrap()));
    let external = |graph: &mut Graph| graph.initializer[0].external_data.push(Opaque {});
    let mut old = model();
    old.opset_import[0].version = Some(3);
    let cases = [
        (
            first(&|node| node.op_type = Some("Einsum".to_owned())),
            "node 0, Einsum, is an operator that is not supported",
        ),
        (
            first(&|node| node.domain = Some("com.microsoft".to_owned())),
            "is of domain `com.microsoft`",
        ),
        (
            first(&|node| node.attribute.push(attribute.clone())),
            "has attribute `mode`, which is not supported",
        ),
        (
            first(&|node| node.input[0] = "z".to_owned()),
            "needs `z`, which nothing before it gives",
        ),
        (
            first(&|node| node.output[0] = "x".to_owned()),
            "gives `x` a second time",
        ),
        (
            first(&|node| node.output[0] = "z".to_owned()),
            "has an output that no node gives",
        ),
        (with(&|graph| graph.output.clear()), "has no output `y`"),
        (
            with(&|graph| graph.initializer[0] = weight(&[3, 2])),
            "takes rows of 3",
        ),
        (
            with(&|graph| graph.initializer[0].dims = vec![2, 3]),
            "has 4 elements, but its shape [2, 3] has 6",
        ),
        (
            with(&|graph| graph.initializer[0].dims = vec![-1, 2]),
            "with a negative size",
        ),
        (
            with(&|graph| graph.initializer[0].data_type = Some(8)),
            "has element type STRING",
        ),
        (
            with(&|graph| graph.initializer[0].float_data[1] = f32::NAN),
            "has NaN in its data",
        ),
        (with(&external), "has its data in another file"),
        (
            with(&|graph| graph.input[0] = value("x", &[Some(4), Some(2)])),
            "has a batch of 4 fixed",
        ),
        (
            with(&|graph| graph.input[0] = value("x", &[None, Some(3)])),
            "[2] after a batch axis is not the graph's [any, 3]",
        ),
        (
            with(&|graph| graph.input.push(value("z", &[None]))),
            "the graph takes `z` as well",
        ),
        (
            with(&|graph| graph.input[0] = value("q", &[None, Some(2)])),
            "needs `x`",
        ),
        (
            with(&|graph| graph.sparse_initializer.push(Opaque {})),
            "has sparse initializers",
        ),
        (old, "has operators of version 3, but must have 7 to 23"),
    ];
    for (model, expected) in cases {
        let error = load(&model).err().unwrap().to_string();
        assert!(
            error.contains(expected),
            "expected `{expected}`, found `{error}`"
        );
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let bytes = model().encode_to_vec();
    for length in 0..bytes.len() {
        assert!(
            Onnx::new(&description(), &bytes[..length]).is_err(),
            "{length}"
        );
    }
    let error = Onnx::new(&description(), &bytes[..bytes.len() / 2])
        .err()
        .unwrap();
    assert!(error.to_string().contains("is cut short"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Onnx::new(&description(), &bytes);
    }

    #[test]
    fn no_change_makes_the_reader_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = model().encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(onnx) = Onnx::new(&description(), &bytes) {
            let _ = onnx.run(&vec![1.0; onnx.width], 1);
        }
    }
}
