"""ONNX graphs as PyTorch's exporter writes them, with onnxruntime as the oracle.

Built with onnx's own helpers: the same operators and attributes as an export of
the module that each function names, in corners that torch_exports.py does not reach.
"""

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROWS = 5


class Graph:
    """Nodes in order; `add` gives the name of the node's first output."""

    def __init__(self, name, seed, opset=17):
        self.name, self.opset = name, opset
        self.random = numpy.random.default_rng(seed)
        self.nodes, self.constants, self.inputs = [], [], []

    def input(self, name, shape, dtype=TensorProto.FLOAT, batch="batch"):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, [batch, *shape]))
        return name

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def ints(self, *values):
        return self.constant(numpy.array(values, dtype=numpy.int64))

    def number(self, value):
        return self.constant(numpy.float32(value))

    def weight(self, *shape, scale=None):
        scale = scale or 1.0 / numpy.sqrt(numpy.prod(shape[1:]) if len(shape) > 1 else 4)
        return self.constant((self.random.normal(size=shape) * scale).astype(numpy.float32))

    def add(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{at}" for at in range(outputs)]
        name = f"/{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), names, name, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, kind, inputs, output, further=(), dtype=TensorProto.FLOAT):
        """`inputs` are arrays [rows, ...] in the order of `self.inputs`."""
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        outputs = [helper.make_tensor_value_info("y", dtype, None)]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, outputs, self.constants)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {value.name: array for value, array in zip(self.inputs, inputs)}
        described = [
            {"name": value.name, "shape": list(array.shape[1:]), "datatype": "INT64" if array.dtype == numpy.int64 else "FP32"}
            for value, array in zip(self.inputs, inputs)
        ]
        single = self.inputs[0].type.tensor_type.shape.dim[0].dim_value == 1
        if single:
            rows = [{name: array[at:at + 1] for name, array in feed.items()} for at in range(len(inputs[0]))]
            expected = numpy.concatenate([session.run(["y"], row)[0] for row in rows])
        else:
            expected = session.run(["y"], feed)[0]
        description = {"format": "onnx", "input": described[0], "output": {"name": "y", "kind": kind}}
        if len(described) > 1:
            description["further_inputs"] = described[1:]
        flat = [array.reshape(len(array), -1).astype(numpy.float64) for array in inputs]
        return {
            "name": self.name, "file": f"{self.name}.onnx", "by": f"onnxruntime {onnxruntime.__version__}",
            "description": description, "save": lambda path: onnx.save(proto, path),
            "inputs": numpy.concatenate(flat, axis=1), "outputs": expected,
        }

    def images(self, *shape):
        return self.random.normal(size=(ROWS, *shape)).astype(numpy.float32)


def mlp():
    """Linear, ReLU, Linear, Tanh, Linear, Softmax."""
    g = Graph("onnx-mlp", 1)
    x = g.input("x", [12])
    x = g.add("Relu", g.add("Gemm", x, g.weight(16, 12), g.weight(16), transB=1))
    x = g.add("Tanh", g.add("Gemm", x, g.weight(8, 16), g.weight(8), transB=1))
    x = g.add("Gemm", x, g.weight(8, 4), g.weight(4), alpha=0.5, beta=2.0)
    return g.model("probabilities", [g.images(12)], g.add("Softmax", x, axis=1))


def batch_normalised(g, x, channels):
    mean, variance = g.weight(channels), g.constant(g.random.uniform(0.5, 2, channels).astype(numpy.float32))
    return g.add("BatchNormalization", x, g.weight(channels), g.weight(channels), mean, variance, epsilon=1e-5)


def cnn():
    """Convolutions with batch normalisation, a residual, pools, `view(size(0), -1)`."""
    g = Graph("onnx-cnn", 2)
    x = g.input("image", [3, 11, 10])
    x = g.add("Conv", x, g.weight(6, 3, 3, 3), pads=[1, 1, 1, 1], kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], group=1)
    x = g.add("Relu", batch_normalised(g, x, 6))
    same = g.add("Conv", x, g.weight(6, 6, 3, 3), g.weight(6), pads=[1, 1, 1, 1])
    x = g.add("Relu", g.add("Add", same, x))
    x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Conv", x, g.weight(6, 1, 3, 3), g.weight(6), group=6, pads=[0, 1, 2, 1], strides=[1, 2])
    x = g.add("Conv", x, g.weight(8, 3, 1, 1), g.weight(8), group=2)
    x = g.add("Clip", x, g.number(0.0), g.number(6.0))
    x = g.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    size = g.add("Gather", g.add("Shape", x), g.constant(numpy.int64(0)), axis=0)
    shape = g.add("Concat", g.add("Unsqueeze", size, g.ints(0)), g.ints(-1), axis=0)
    x = g.add("Reshape", x, shape)
    x = g.add("Gemm", x, g.weight(5, 48), g.weight(5), transB=1)
    return g.model("values", [g.images(3, 11, 10)], x)


def pools():
    """Global pools, a dilated and a one-dimensional convolution, LogSoftmax."""
    g = Graph("onnx-pools", 3)
    x = g.input("x", [2, 12])
    x = g.add("LeakyRelu", g.add("Conv", x, g.weight(4, 2, 3), g.weight(4), dilations=[2], pads=[2, 2]), alpha=0.1)
    x = g.add("AveragePool", x, kernel_shape=[3], strides=[2], pads=[1, 1], count_include_pad=1)
    x = g.add("Unsqueeze", x, g.ints(2))
    most, mean = g.add("GlobalMaxPool", x), g.add("GlobalAveragePool", x)
    x = g.add("Flatten", g.add("Concat", most, mean, axis=1), axis=1)
    return g.model("values", [g.images(2, 12)], g.add("LogSoftmax", x, axis=-1))


def normalised(g, x, width):
    """LayerNorm as exports before operator version 17 have it."""
    mean = g.add("ReduceMean", x, axes=[-1], keepdims=1)
    centred = g.add("Sub", x, mean)
    variance = g.add("ReduceMean", g.add("Pow", centred, g.number(2.0)), axes=[-1], keepdims=1)
    x = g.add("Div", centred, g.add("Sqrt", g.add("Add", variance, g.number(1e-5))))
    return g.add("Add", g.add("Mul", x, g.weight(width)), g.weight(width))


def gelu(g, x):
    x_of = g.add("Erf", g.add("Div", x, g.number(numpy.sqrt(2))))
    return g.add("Mul", g.add("Mul", x, g.add("Add", x_of, g.number(1.0))), g.number(0.5))


def transformer():
    """Token ids and a mask; two heads; both forms of layer normalisation and GELU."""
    length, width, heads = 6, 8, 2
    g = Graph("onnx-transformer", 4)
    ids = g.input("ids", [length], TensorProto.INT64)
    mask = g.input("mask", [length])
    x = g.add("Gather", g.weight(20, width, scale=1.0), ids, axis=0)
    x = g.add("Add", x, g.weight(1, length, width))
    penalty = g.add("Mul", g.add("Sub", g.number(1.0), mask), g.number(-10000.0))
    penalty = g.add("Unsqueeze", penalty, g.ints(1, 2))

    def linear(x, into, out):
        return g.add("Add", g.weight(out), g.add("MatMul", x, g.weight(into, out)))

    def head_shape(x):
        size = g.add("Shape", x, end=1)
        return g.add("Concat", size, g.ints(length, heads, width // heads), axis=0)

    joined = linear(x, width, 3 * width)
    q, k, v = g.add("Split", joined, g.ints(width, width, width), outputs=3, axis=-1)
    q, k, v = (g.add("Transpose", g.add("Reshape", part, head_shape(part)), perm=[0, 2, 1, 3]) for part in (q, k, v))
    scores = g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g.add("Add", g.add("Div", scores, g.number(numpy.sqrt(width // heads))), penalty)
    y = g.add("Transpose", g.add("MatMul", g.add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    y = g.add("Reshape", y, g.ints(0, 0, width))
    x = normalised(g, g.add("Add", x, linear(y, width, width)), width)
    x = g.add("Add", x, linear(gelu(g, linear(x, width, 16)), 16, width))
    x = g.add("LayerNormalization", x, g.weight(width), g.weight(width), axis=-1, epsilon=1e-5)
    first = g.add("Squeeze", g.add("Slice", x, g.ints(0), g.ints(1), g.ints(1)), g.ints(1))
    x = g.add("Softmax", linear(first, width, 3), axis=-1)
    ids = g.random.integers(0, 20, (ROWS, length))
    mask = (numpy.arange(length) < g.random.integers(2, length + 1, (ROWS, 1))).astype(numpy.float32)
    return g.model("probabilities", [ids, mask], x)


def shapes():
    """The operators that move, compare and choose."""
    g = Graph("onnx-shapes", 5)
    x = g.input("x", [3, 4])
    whole = g.add("Cast", x, to=TensorProto.INT64)
    even = g.add("Equal", g.add("Mul", g.add("Div", whole, g.ints(2)), g.ints(2)), whole)
    chosen = g.add("Where", even, x, g.add("Neg", x))
    back = g.add("Slice", chosen, g.ints(-1), g.ints(-1000), g.ints(2), g.ints(-2))
    low, high = g.add("Split", x, g.ints(1, 2), outputs=2, axis=1)
    high = g.add("ReduceMax", high, axes=[1], keepdims=1)
    wide = g.add("Expand", g.add("Abs", low), g.ints(1, 3, 1))
    size = g.add("ConstantOfShape", g.add("Shape", wide), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.25]))
    sum_of = g.add("Max", g.add("Add", wide, size), high, g.number(0.1))
    root = g.add("Reciprocal", g.add("Sqrt", g.add("Exp", sum_of)))
    flags = g.add("Cast", g.add("And", g.add("Less", x, g.number(0.0)), g.add("Not", even)), to=TensorProto.FLOAT)
    parts = [g.add("Flatten", part) for part in (back, g.add("Min", sum_of, root), flags, g.add("Sigmoid", x))]
    x = g.add("Concat", *parts, axis=-1)
    x = g.add("Pow", g.add("Softplus", x), g.constant(numpy.float32([3.0])))
    inputs = g.images(3, 4) * 3
    return g.model("values", [inputs], g.add("ReduceSum", g.add("Unsqueeze", x, g.ints(1)), g.ints(1), keepdims=0))


def one_row():
    """Exported for a batch of one, with a reshape that says so; an old Softmax."""
    g = Graph("onnx-one-row", 6, opset=11)
    x = g.input("x", [2, 6], batch=1)
    x = g.add("Reshape", x, g.ints(1, 12))
    x = g.add("Elu", g.add("MatMul", x, g.weight(12, 6)))
    x = g.add("Unsqueeze", g.add("Clip", x, g.number(-0.5)), axes=[2])
    x = g.add("Softmax", g.add("Squeeze", x, axes=[2]), axis=1)
    return g.model("probabilities", [g.images(2, 6)], g.add("Dropout", x))


def labels():
    """A classifier that answers with its label."""
    g = Graph("onnx-labels", 7)
    x = g.input("x", [7])
    x = g.add("Gelu", g.add("MatMul", x, g.weight(7, 9)), approximate="tanh") if g.opset >= 20 else g.add("HardSwish", g.add("MatMul", x, g.weight(7, 9)))
    x = g.add("ArgMax", x, axis=1, keepdims=0)
    return g.model("values", [g.images(7)], x, dtype=TensorProto.INT64)


def models():
    return [mlp(), cnn(), pools(), transformer(), shapes(), one_row(), labels()]
