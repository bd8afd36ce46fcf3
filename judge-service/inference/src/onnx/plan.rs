//! From a graph to the steps that are run: everything is resolved, constants are
//! computed, and neighbours are joined once, when the model is created.

use candle_core::{DType, Tensor};

use super::OnnxError;
use super::builder::Builder;
use super::message::Graph;
use super::op::Op;
use super::run::{Inputs, run};

/// More nodes than a small transformer has by far.
const MAX_NODES: usize = 4_096;

/// A graph that is ready to run.
pub(super) struct Plan {
    /// One value for each name; those that never change are filled.
    pub(super) values: Vec<Option<Tensor>>,
    pub(super) steps: Vec<Step>,
    pub(super) inputs: Vec<GraphInput>,
    pub(super) output: usize,
}

#[derive(Debug)]
pub(super) struct Step {
    /// `node 3, Conv "/features/0"`
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    /// Values that nobody needs after this step.
    pub(super) done: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct GraphInput {
    pub(super) name: String,
    pub(super) dtype: DType,
    /// With the batch; `None` where the file does not say.
    pub(super) dims: Option<Vec<Option<i64>>>,
    pub(super) place: usize,
}

// === impl Plan ===

impl Plan {
    /// Reads every node; `output` is the name of the value that is wanted.
    ///
    /// # Errors
    /// What is not supported or does not fit, with the node that has it.
    pub(super) fn new(graph: &Graph, version: i64, output: &str) -> Result<Self, OnnxError> {
        if graph.node.len() > MAX_NODES {
            let found = graph.node.len();
            let reason = format!("has {found} nodes, but may have at most {MAX_NODES}");
            return Err(OnnxError::at("the graph", reason));
        }
        let mut plan = Builder::new(graph, version)?.build(graph, output)?;
        plan.join();
        plan.leave_channels_last();
        plan.drop_unused();
        plan.forget_early();
        Ok(plan)
    }

    /// Runs every step on the graph's inputs, in their order.
    ///
    /// # Errors
    /// The node whose inputs do not fit, and why.
    pub(super) fn run(&self, inputs: Vec<Tensor>) -> Result<Tensor, OnnxError> {
        let mut values = self.values.clone();
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            if let Some(slot) = values.get_mut(input.place) {
                *slot = Some(tensor);
            }
        }
        for step in &self.steps {
            let taken = step
                .inputs
                .iter()
                .map(|place| place.and_then(|place| values.get(place)?.as_ref()));
            let results = run(&step.op, &Inputs(taken.collect()), step.outputs.len())
                .map_err(|reason| OnnxError::at(step.name.clone(), reason))?;
            for place in &step.done {
                if let Some(slot) = values.get_mut(*place) {
                    *slot = None;
                }
            }
            for (place, result) in step.outputs.iter().zip(results) {
                if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
                    *slot = Some(result);
                }
            }
        }
        values
            .get_mut(self.output)
            .and_then(Option::take)
            .ok_or_else(|| {
                OnnxError::at("the graph", "has an output that no node gives".to_owned())
            })
    }

    /// Steps whose results nobody takes.
    fn drop_unused(&mut self) {
        let mut needed = vec![false; self.values.len()];
        let need = |place: usize, needed: &mut Vec<bool>| {
            if let Some(flag) = needed.get_mut(place) {
                *flag = true;
            }
        };
        need(self.output, &mut needed);
        let mut kept = Vec::new();
        for step in std::mem::take(&mut self.steps).into_iter().rev() {
            let is_needed = step
                .outputs
                .iter()
                .flatten()
                .any(|place| needed.get(*place) == Some(&true));
            if is_needed {
                for place in step.inputs.iter().flatten() {
                    need(*place, &mut needed);
                }
                kept.push(step);
            }
        }
        kept.reverse();
        self.steps = kept;
        // Weights that are within the steps now need not be kept twice.
        let mut taken = vec![false; self.values.len()];
        need(self.output, &mut taken);
        for place in self
            .steps
            .iter()
            .flat_map(|step| step.inputs.iter().flatten())
        {
            need(*place, &mut taken);
        }
        for (value, taken) in self.values.iter_mut().zip(taken) {
            if !taken {
                *value = None;
            }
        }
    }

    fn forget_early(&mut self) {
        let mut seen = vec![false; self.values.len()];
        for step in self.steps.iter_mut().rev() {
            for place in step.inputs.iter().flatten() {
                if let Some(flag) = seen.get_mut(*place)
                    && !*flag
                {
                    *flag = true;
                    if *place != self.output && self.values.get(*place).is_some_and(Option::is_none)
                    {
                        step.done.push(*place);
                    }
                }
            }
        }
    }
}
