"""Samples a second of our inference beside the models' own libraries.

    make bench-inference

Needs the packages of tests/oracles/requirements.txt. One thread each, in the same
run, in rounds that take turns; the figures are medians of each round's ratio
(above 1: ours is faster). Writes target/bench/inference.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy
import onnx
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper

ROUNDS = 15
SECONDS = 0.25
ROWS = 1024
BATCHES = (1, 64)


def graph(name, nodes, weights, shape):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])]
    constants = [numpy_helper.from_array(array.astype(numpy.float32), key) for key, array in weights.items()]
    made = helper.make_graph(nodes, name, inputs, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def description(name, file, format, shape, kind="probabilities"):
    return {
        "name": name, "weights": file, "format": format,
        "input": {"name": "x", "shape": shape, "datatype": "FP32"},
        "output": {"name": "y", "kind": kind},
    }


class Network:
    def __init__(self, folder, name, nodes, weights, shape, random):
        self.name, self.rows = name, random.uniform(0, 1, (ROWS, *shape)).astype(numpy.float32)
        self.description = description(name, f"{name}.onnx", "onnx", shape)
        path = str(folder / f"{name}.onnx")
        onnx.save(graph(name, nodes, weights, shape), path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        before = resident()
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.predict(self.rows[:64])
        self.memory = resident() - before

    def predict(self, rows):
        return self.session.run(None, {"x": rows})[0]


def mlp(folder, random):
    """64 -> 64 -> 32 -> 10, the digits classifier of tests/models."""
    sizes, nodes, weights, x = (64, 64, 32, 10), [], {}, "x"
    for at, (into, out) in enumerate(zip(sizes, sizes[1:])):
        weights[f"w{at}"], weights[f"b{at}"] = random.normal(size=(out, into)) / 8, random.normal(size=out) / 8
        nodes.append(helper.make_node("Gemm", [x, f"w{at}", f"b{at}"], [f"g{at}"], transB=1))
        x = f"g{at}"
        if at < 2:
            nodes.append(helper.make_node("Relu", [x], [f"r{at}"]))
            x = f"r{at}"
    nodes.append(helper.make_node("Softmax", [x], ["y"], axis=1))
    return Network(folder, "mlp", nodes, weights, [64], random)


def cnn(folder, random):
    """PyTorch's MNIST example in small: 3x3 convolutions of 16 and 32 channels."""
    weights = {
        "w0": random.normal(size=(16, 1, 3, 3)) / 3, "b0": random.normal(size=16) / 3,
        "w1": random.normal(size=(32, 16, 3, 3)) / 12, "b1": random.normal(size=32) / 12,
        "w2": random.normal(size=(64, 1568)) / 40, "b2": random.normal(size=64) / 40,
        "w3": random.normal(size=(10, 64)) / 8, "b3": random.normal(size=10) / 8,
    }
    pads = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], **pads), helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("MaxPool", ["r0"], ["p0"], **pool),
        helper.make_node("Conv", ["p0", "w1", "b1"], ["c1"], **pads), helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], **pool), helper.make_node("Flatten", ["p1"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["g2"], transB=1), helper.make_node("Relu", ["g2"], ["r2"]),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["g3"], transB=1), helper.make_node("Softmax", ["g3"], ["y"], axis=1),
    ]
    return Network(folder, "cnn", nodes, weights, [1, 28, 28], random)


class Trees:
    """200 trees of depth 6 over 30 features."""

    def __init__(self, folder, random):
        self.name = "trees"
        x = random.normal(size=(8000, 30)).astype(numpy.float32)
        y = (x[:, 0] * x[:, 1] + numpy.sin(3 * x[:, 2]) + x[:, 3:9].sum(axis=1) + random.normal(size=8000) > 0).astype(int)
        settings = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1, "seed": 1}
        booster = xgboost.train(settings, xgboost.DMatrix(x, y), 200)
        booster.save_model(folder / "trees.model.json")
        before = resident()
        self.booster = xgboost.Booster({"nthread": 1}, model_file=folder / "trees.model.json")
        self.rows = random.normal(size=(ROWS, 30)).astype(numpy.float32)
        self.predict(self.rows[:64])
        self.memory = resident() - before
        self.description = description("trees", "trees.model.json", "xgboost", [30], "values")

    def predict(self, rows):
        return self.booster.inplace_predict(rows)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(model, batch):
    """Samples a second of the peer."""
    batches = [model.rows[at:at + batch] for at in range(0, ROWS, batch)]
    started, samples = time.perf_counter(), 0
    while True:
        for rows in batches:
            model.predict(rows)
            samples += batch
            elapsed = time.perf_counter() - started
            if elapsed >= SECONDS:
                return samples / elapsed


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--ours", required=True, help="the example `throughput`")
    arguments.add_argument("--to", required=True, type=Path)
    arguments = arguments.parse_args()
    random = numpy.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        models = [mlp(folder, random), cnn(folder, random), Trees(folder, random)]
        command = [arguments.ours]
        for model in models:
            (folder / f"{model.name}.json").write_text(json.dumps(model.description))
            model.rows.tofile(folder / f"{model.name}.f32")
            command += [str(folder / f"{model.name}.json"), str(folder / f"{model.name}.f32")]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        results = run(models, ours)
        ours.stdin.close()
        ours.wait()
    peers = {"mlp": "onnxruntime", "cnn": "onnxruntime", "trees": "native"}
    report = {
        "figures": {f"{name}_to_{peer}_b64": results[name]["64"]["ratio"]["median"] for name, peer in peers.items()},
        "models": results,
        "peers": {
            "mlp, cnn": f"onnxruntime {onnxruntime.__version__}, one thread",
            "trees": f"xgboost {xgboost.__version__}, Booster.inplace_predict, one thread",
        },
        "rounds": ROUNDS, "seconds_a_round": SECONDS, "machine": platform.machine(),
        "memory": "what a process has resident: ours with all three models, the peers' for each model's own",
    }
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(json.dumps(report, indent=2) + "\n")
    json.dump(report["figures"], sys.stdout, indent=2)
    print()


def run(models, ours):
    results = {}
    for at, model in enumerate(models):
        results[model.name] = {"peer_memory_bytes": model.memory}
        for batch in BATCHES:
            rounds = []
            for turn in range(ROUNDS + 1):
                order = ["ours", "peer"] if turn % 2 else ["peer", "ours"]
                found = {}
                for who in order:
                    if who == "peer":
                        found[who] = measure(model, batch)
                        continue
                    ours.stdin.write(f"{at} {batch} {SECONDS}\n")
                    ours.stdin.flush()
                    speed, memory = ours.stdout.readline().split()
                    found[who] = float(speed)
                    results[model.name]["our_memory_bytes"] = int(memory)
                # The first round warms both.
                if turn:
                    rounds.append(found)
            spread = lambda values: {"median": round(statistics.median(values), 3), "lowest": round(min(values), 3), "highest": round(max(values), 3)}
            results[model.name][str(batch)] = {
                "ratio": spread([found["ours"] / found["peer"] for found in rounds]),
                "ours_samples_a_second": spread([found["ours"] for found in rounds]),
                "peer_samples_a_second": spread([found["peer"] for found in rounds]),
            }
    return results


if __name__ == "__main__":
    main()
