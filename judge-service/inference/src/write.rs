//! Rows and answers as bodies: what [`Protocol`](super::Protocol) reads, written.

use serde_json::{Map, Number, Value, json};

use super::protocol::{Answer, Tensors};
use super::{Datatype, Input};

/// The columns of each input in a row, one input after the other.
fn columns<'a>(
    inputs: &'a [Input],
    row: &'a [f64],
) -> impl Iterator<Item = (&'a Input, &'a [f64])> {
    let mut rest = row;
    inputs.iter().map(move |input| {
        let (own, after) = rest.split_at_checked(input.len()).unwrap_or((rest, &[]));
        rest = after;
        (input, own)
    })
}

/// A missing value is null. Whole numbers are written as such, whatever their datatype.
fn number(datatype: Datatype, number: f64) -> Value {
    if datatype == Datatype::Bool {
        return Value::Bool(number != 0.0);
    }
    // Beyond 2^53 a double is a whole number that JSON writes as well.
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn numbers(datatype: Datatype, values: &[f64]) -> Vec<Value> {
    values
        .iter()
        .map(|&value| number(datatype, value))
        .collect()
}

/// Flat numbers as lists in lists, by the shape.
fn nested(mut flat: Vec<Value>, shape: &[usize]) -> Value {
    for &size in shape.iter().skip(1).rev() {
        let mut rest = flat.into_iter();
        flat = core::iter::from_fn(|| {
            let list: Vec<Value> = rest.by_ref().take(size).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        })
        .collect();
    }
    Value::Array(flat)
}

fn probabilities(row: &[f32]) -> Vec<Value> {
    let wide: Vec<f64> = row.iter().copied().map(f64::from).collect();
    numbers(Datatype::Fp32, &wide)
}

/// `inputs` of the Open Inference Protocol, in JSON.
pub(super) fn open_inference_request(tensors: &Tensors, rows: &[Vec<f64>]) -> Value {
    let mut data: Vec<Vec<Value>> = vec![Vec::new(); tensors.inputs.len()];
    for row in rows {
        for ((input, own), data) in columns(&tensors.inputs, row).zip(&mut data) {
            data.extend(numbers(input.datatype, own));
        }
    }
    let inputs = tensors.inputs.iter().zip(data).map(|(input, data)| {
        let shape: Vec<usize> = core::iter::once(rows.len())
            .chain(input.shape.iter().copied())
            .collect();
        json!({
            "name": input.name, "shape": shape, "datatype": input.datatype.name(), "data": data,
        })
    });
    json!({ "inputs": inputs.collect::<Vec<_>>() })
}

pub(super) fn open_inference_response(tensors: &Tensors, answer: &Answer) -> Value {
    let labels = answer.labels.iter().map(|labels| {
        json!({
            "name": tensors.label_output, "shape": [labels.len()], "datatype": "INT64",
            "data": labels,
        })
    });
    let rows = answer.probabilities.iter().map(|rows| {
        let width = rows.first().map_or(0, Vec::len);
        let data: Vec<Value> = rows.iter().flat_map(|row| probabilities(row)).collect();
        json!({
            "name": tensors.probabilities_output, "shape": [rows.len(), width],
            "datatype": "FP32", "data": data,
        })
    });
    json!({ "outputs": labels.chain(rows).collect::<Vec<_>>() })
}

/// `instances`, one for each row: by name where there are several inputs.
pub(super) fn instances(tensors: &Tensors, rows: &[Vec<f64>]) -> Value {
    let rows = rows.iter().map(|row| {
        let mut parts = columns(&tensors.inputs, row).map(|(input, own)| {
            (
                input.name.clone(),
                nested(numbers(input.datatype, own), &input.shape),
            )
        });
        if tensors.inputs.len() == 1 {
            return parts.next().map_or(Value::Null, |(_, part)| part);
        }
        Value::Object(parts.collect())
    });
    json!({ "instances": rows.collect::<Vec<_>>() })
}

/// `predictions`, one for each row, by name.
pub(super) fn predictions(tensors: &Tensors, answer: &Answer) -> Value {
    let labels = answer.labels.as_deref().unwrap_or_default();
    let rows = answer.probabilities.as_deref().unwrap_or_default();
    let predictions = (0..labels.len().max(rows.len())).map(|at| {
        let mut prediction = Map::new();
        if let Some(&label) = labels.get(at) {
            prediction.insert(tensors.label_output.clone(), json!(label));
        }
        if let Some(row) = rows.get(at) {
            prediction.insert(
                tensors.probabilities_output.clone(),
                Value::Array(probabilities(row)),
            );
        }
        Value::Object(prediction)
    });
    json!({ "predictions": predictions.collect::<Vec<_>>() })
}

/// Values at pointers, of one row or, in lists, of several.
pub(super) fn at_pointers(tensors: &Tensors, pointers: &[String], rows: &[Vec<f64>]) -> Value {
    let mut body = Value::Object(Map::new());
    for (index, (input, pointer)) in tensors.inputs.iter().zip(pointers).enumerate() {
        let of_row = |row: &Vec<f64>| {
            let own = columns(&tensors.inputs, row).nth(index);
            let own = own.map_or(&[][..], |(_, own)| own);
            let own = numbers(input.datatype, own);
            // One column is a number and no list of one.
            match input.shape.as_slice() {
                [1] => own.into_iter().next().unwrap_or_default(),
                shape => nested(own, shape),
            }
        };
        let value = match rows {
            [row] => of_row(row),
            rows => Value::Array(rows.iter().map(of_row).collect()),
        };
        put(&mut body, pointer, value);
    }
    body
}

pub(super) fn answer_at_pointers(
    label: Option<&String>,
    scores: Option<&String>,
    answer: &Answer,
) -> Value {
    let mut body = Value::Object(Map::new());
    if let Some((pointer, labels)) = label.zip(answer.labels.as_ref()) {
        put(&mut body, pointer, json!(labels));
    }
    if let Some((pointer, rows)) = scores.zip(answer.probabilities.as_ref()) {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| Value::Array(probabilities(row)))
            .collect();
        put(&mut body, pointer, Value::Array(rows));
    }
    body
}

/// Puts a value where a pointer leads, through objects that are made on the way.
fn put(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else {
            return;
        };
        place = fields.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::super::{Instances, Message, OpenInference, PlainJson, Pointers, Protocol};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tensors(inputs: &[(&str, &[usize], Datatype)]) -> Tensors {
        let input = |(name, shape, datatype): &(&str, &[usize], Datatype)| Input {
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            datatype: *datatype,
        };
        Tensors {
            inputs: inputs.iter().map(input).collect(),
            takes_missing: true,
            label_output: "label".to_owned(),
            probabilities_output: "scores".to_owned(),
            label_names: BTreeMap::new(),
            has_labels: true,
        }
    }

    fn protocols() -> Vec<Box<dyn Protocol>> {
        let several = tensors(&[
            ("picture", &[2, 3], Datatype::Fp32),
            ("age", &[1], Datatype::Int32),
            ("member", &[1], Datatype::Bool),
        ]);
        let pointers = Pointers {
            inputs: ["/data/picture", "/customer/age", "/customer/is~1member"]
                .map(str::to_owned)
                .into(),
            label: Some("/decision".to_owned()),
            probabilities: Some("/why/scores".to_owned()),
        };
        vec![
            Box::new(OpenInference {
                tensors: several.clone(),
            }),
            Box::new(Instances {
                tensors: several.clone(),
            }),
            Box::new(PlainJson::checked(8, several, pointers).unwrap()),
        ]
    }

    #[test]
    fn bodies_are_as_people_write_them() {
        let row = vec![vec![1.0, 2.0, 3.5, 4.0, 5.0, 6.0, 30.0, 1.0]];
        let written: Vec<Value> = protocols()
            .iter()
            .map(|protocol| serde_json::from_slice(&protocol.write_request(&row)).unwrap())
            .collect();
        assert_eq!(written[0]["inputs"][0]["shape"], json!([1, 2, 3]));
        assert_eq!(written[0]["inputs"][2]["data"], json!([true]));
        assert_eq!(
            written[1]["instances"][0]["picture"],
            json!([[1, 2, 3.5], [4, 5, 6]])
        );
        assert_eq!(
            written[2]["customer"],
            json!({"age": 30, "is/member": true})
        );
        let one = Instances {
            tensors: tensors(&[("x", &[2], Datatype::Fp32)]),
        };
        let body = one.write_request(&[vec![1.0, 2.0], vec![3.0, 4.0]]);
        assert_eq!(body, br#"{"instances":[[1,2],[3,4]]}"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec((prop::collection::vec(-1e6f32..1e6, 6), 0..120i32, prop::bool::ANY), 1..4),
            labels in prop::collection::vec(-5..5i64, 1..4),
        ) {
            let rows: Vec<Vec<f64>> = rows
                .into_iter()
                .map(|(picture, age, member)| {
                    let picture = picture.into_iter().map(f64::from);
                    picture.chain([f64::from(age), f64::from(u8::from(member))]).collect()
                })
                .collect();
            let scores = labels.iter().map(|&label| vec![label as f32 / 8.0, 1.0]).collect();
            let answer = Answer { labels: Some(labels), probabilities: Some(scores) };
            for protocol in protocols() {
                let body = protocol.write_request(&rows);
                prop_assert_eq!(&protocol.request(&Message::new(&body)).unwrap(), &rows);
                let body = protocol.write_response(&answer);
                prop_assert_eq!(&protocol.response(&Message::new(&body)).unwrap(), &answer);
            }
        }
    }
}
