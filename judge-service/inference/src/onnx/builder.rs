//! Reads the nodes of a graph in their order: names become places, and what
//! depends on constants alone is computed.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::OnnxError;
use super::attributes::Attributes;
use super::join;
use super::message::{Graph, Node};
use super::op::{self, Op};
use super::plan::{GraphInput, Plan, Step};
use super::run::{Inputs, run};
use super::tensor;
use super::values::words;

/// While the plan is made.
pub(super) struct Builder {
    version: i64,
    names: Names,
    inputs: Vec<GraphInput>,
    steps: Vec<Step>,
}

/// A place for each name; constants have their value in it.
#[derive(Default)]
pub(super) struct Names {
    places: HashMap<String, usize>,
    values: Vec<Option<Tensor>>,
    /// Whether something before gives the value.
    ready: Vec<bool>,
}

// === impl Names ===

impl Names {
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.values.push(None);
        self.ready.push(false);
        let place = self.values.len() - 1;
        self.places.insert(name.to_owned(), place);
        place
    }

    fn set(&mut self, name: &str, value: Tensor) {
        let place = self.place(name);
        if let Some(slot) = self.values.get_mut(place) {
            *slot = Some(value);
        }
        self.mark(place);
    }

    fn mark(&mut self, place: usize) {
        if let Some(ready) = self.ready.get_mut(place) {
            *ready = true;
        }
    }

    fn is_ready(&self, place: usize) -> bool {
        self.ready.get(place) == Some(&true)
    }

    pub(super) fn constant(&self, place: Option<usize>) -> Option<&Tensor> {
        self.values.get(place?)?.as_ref()
    }
}

// === impl Builder ===

impl Builder {
    /// Takes the constants and the inputs.
    pub(super) fn new(graph: &Graph, version: i64) -> Result<Self, OnnxError> {
        let mut names = Names::default();
        for data in &graph.initializer {
            let name = data.name.as_deref().unwrap_or_default();
            let value = tensor::read(data)
                .map_err(|reason| OnnxError::at(format!("initializer `{name}`"), reason))?;
            names.set(name, value);
        }
        Ok(Self {
            inputs: graph_inputs(graph, &mut names)?,
            names,
            version,
            steps: Vec::new(),
        })
    }

    /// Takes the nodes; `output` is the name of the value that is wanted.
    pub(super) fn build(mut self, graph: &Graph, output: &str) -> Result<Plan, OnnxError> {
        let known = graph
            .output
            .iter()
            .filter_map(|value| value.name.as_deref());
        let known: Vec<&str> = known.collect();
        if !known.contains(&output) {
            let reason = format!("has no output `{output}`, only {known:?}");
            return Err(OnnxError::at("the graph", reason));
        }
        for (at, node) in graph.node.iter().enumerate() {
            let title = title(at, node);
            self.node(node, &title)
                .map_err(|reason| OnnxError::at(title, reason))?;
        }
        let output = self.names.place(output);
        if !self.names.is_ready(output) {
            return Err(OnnxError::at(
                "the graph",
                "has an output that no node gives",
            ));
        }
        Ok(Plan {
            values: self.names.values,
            steps: self.steps,
            inputs: self.inputs,
            output,
        })
    }

    fn node(&mut self, node: &Node, title: &str) -> Result<(), String> {
        if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
            let domain = node.domain.as_deref().unwrap_or_default();
            return Err(format!("is of domain `{domain}`, which is not supported"));
        }
        let mut inputs = Vec::new();
        for name in &node.input {
            let place = (!name.is_empty()).then(|| self.names.place(name));
            if place.is_some_and(|place| !self.names.is_ready(place)) {
                return Err(format!("needs `{name}`, which nothing before it gives"));
            }
            inputs.push(place);
        }
        let mut outputs = Vec::new();
        for name in &node.output {
            let place = (!name.is_empty()).then(|| self.names.place(name));
            if place.is_some_and(|place| self.names.is_ready(place)) {
                return Err(format!("gives `{name}` a second time"));
            }
            outputs.push(place);
        }
        if node.op_type.as_deref() == Some("Constant") {
            let value = constant(node)?;
            if let Some(name) = node.output.first() {
                self.names.set(name, value);
            }
            return Ok(());
        }
        let op = op::read(node, self.version)?;
        check_outputs(&op, &outputs)?;
        if let Some(constants) = self.constants(&inputs) {
            let results = run(&op, &Inputs(constants), outputs.len())?;
            for (name, result) in node.output.iter().zip(results) {
                self.names.set(name, result);
            }
            return Ok(());
        }
        for place in outputs.iter().flatten() {
            self.names.mark(*place);
        }
        let (op, inputs) = join::with_weights(op, inputs, &self.names)?;
        self.steps.push(Step {
            name: title.to_owned(),
            op,
            inputs,
            outputs,
            done: Vec::new(),
        });
        Ok(())
    }

    /// The inputs of a node that has only constants.
    fn constants(&self, inputs: &[Option<usize>]) -> Option<Vec<Option<&Tensor>>> {
        let constant = |place: &Option<usize>| match place {
            None => Some(None),
            place => self.names.constant(*place).map(Some),
        };
        let constants: Option<Vec<_>> = inputs.iter().map(constant).collect();
        constants.filter(|constants| !constants.is_empty())
    }
}

fn graph_inputs(graph: &Graph, names: &mut Names) -> Result<Vec<GraphInput>, OnnxError> {
    let mut inputs = Vec::new();
    for value in &graph.input {
        let name = value.name.clone().unwrap_or_default();
        let place = names.place(&name);
        // Before IR version 4 initializers were listed as inputs as well.
        if names.constant(Some(place)).is_some() {
            continue;
        }
        let failed = |reason: String| OnnxError::at(format!("input `{name}`"), reason);
        let tensor = value.r#type.as_ref().and_then(|of| of.tensor.as_ref());
        let tensor = tensor.ok_or_else(|| failed("is no tensor".to_owned()))?;
        let dtype = tensor::computed_as(tensor.elem_type.unwrap_or_default()).map_err(failed)?;
        let dims = tensor
            .shape
            .as_ref()
            .map(|shape| shape.dim.iter().map(|dim| dim.dim_value).collect());
        names.mark(place);
        inputs.push(GraphInput {
            name,
            dtype,
            dims,
            place,
        });
    }
    Ok(inputs)
}

fn title(at: usize, node: &Node) -> String {
    let op = node.op_type.as_deref().unwrap_or_default();
    match node.name.as_deref() {
        None | Some("") => format!("node {at}, {op},"),
        Some(name) => format!("node {at}, {op} `{name}`,"),
    }
}

fn constant(node: &Node) -> Result<Tensor, String> {
    let at = Attributes::new(node);
    let cpu = &Device::Cpu;
    let value = if let Some(data) = at.tensor("value") {
        tensor::read(data)
    } else if let Some(number) = at.maybe_float("value_float") {
        Tensor::new(number, cpu).map_err(words)
    } else if let Some(number) = at.maybe_int("value_int") {
        Tensor::new(number, cpu).map_err(words)
    } else if let Some(numbers) = at.floats("value_floats") {
        Tensor::new(numbers.as_slice(), cpu).map_err(words)
    } else if let Some(numbers) = at.ints("value_ints") {
        Tensor::new(numbers.as_slice(), cpu).map_err(words)
    } else {
        Err("has no value that is supported".to_owned())
    }?;
    at.finish()?;
    Ok(value)
}

/// Statistics of training, and masks, are outputs that nothing here gives.
fn check_outputs(op: &Op, outputs: &[Option<usize>]) -> Result<(), String> {
    let given = outputs.iter().flatten().count();
    if given > 1 && !matches!(op, Op::Split { .. }) {
        return Err(format!(
            "gives {given} outputs, but only the first is supported"
        ));
    }
    Ok(())
}
