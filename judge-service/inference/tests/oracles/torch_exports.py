"""Networks as people write them in PyTorch, exported by `torch.onnx.export`, with
PyTorch as the oracle.

    make oracles-torch

Needs PyTorch alone, such as Debian's python3-torch: what PyPI has for Linux brings
gigabytes of CUDA along. Seeds are fixed.
"""

import torch
from torch import nn

from writing import write_all

ROWS = 5
OPSET = 16


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, 4), nn.Softmax(dim=-1),
        )

    def forward(self, x):
        return self.layers(x)


class Residual(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(out)
        self.short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.short(x))


class SmallResNet(nn.Module):
    """The blocks of a ResNet: strided residuals, max pooling, adaptive pooling, flatten."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Residual(8, 8, 1), Residual(8, 12, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.pool(self.blocks(self.stem(x)))
        return self.head(torch.flatten(x, 1))


class MobileBlock(nn.Module):
    """Depthwise convolutions, squeeze and excitation, hard activations; `view` by hand."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(2, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.head = nn.Linear(8 * 6 * 6, 3)

    def forward(self, x):
        x = nn.functional.hardswish(self.depth(nn.functional.relu6(self.wide(x))))
        weight = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        x = x * weight[:, :, None, None]
        x = nn.functional.avg_pool2d(x, 2)
        return nn.functional.log_softmax(self.head(x.view(x.size(0), -1)), dim=1)


class Attention(nn.Module):
    """As in BERT: heads by `view` and `permute`, an additive mask."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, self.size).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / self.size ** 0.5
        weights = torch.softmax(scores.masked_fill(mask[:, None, None, :] == 0, -1e4), dim=-1)
        y = torch.matmul(weights, value).permute(0, 2, 1, 3).contiguous()
        return self.out(y.view(x.size(0), x.size(1), -1))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1))

    def forward(self, x, mask):
        x = self.norm(x + self.attention(x, mask))
        return self.last_norm(x + self.feed(x))


class Encoder(nn.Module):
    """Token and position embeddings, two layers, the mean over what the mask lets through."""

    def __init__(self, length=7, width=16, heads=4):
        super().__init__()
        self.token, self.position = nn.Embedding(30, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(2)])
        self.head = nn.Linear(width, 6)

    def forward(self, ids, mask):
        positions = torch.arange(ids.size(1)).unsqueeze(0).expand(ids.size(0), -1)
        x = self.token(ids) + self.position(positions)
        for layer in self.layers:
            x = layer(x, mask)
        kept = mask.unsqueeze(-1)
        mean = (x * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1e-9)
        return nn.functional.normalize(self.head(mean), p=2.0, dim=1)


def settled(module, *inputs):
    """With statistics of batch normalisation that are not its defaults."""
    module.train()
    with torch.no_grad():
        for _ in range(5):
            module(*inputs)
    return module.eval()


def exported(name, module, kind, **inputs):
    """`inputs` by name, each [rows, ...]."""
    module = settled(module, *inputs.values())
    with torch.no_grad():
        outputs = module(*inputs.values()).numpy()
    described = [
        {"name": key, "shape": list(value.shape[1:]), "datatype": "INT64" if value.dtype == torch.int64 else "FP32"}
        for key, value in inputs.items()
    ]
    description = {"format": "onnx", "input": described[0], "output": {"name": "y", "kind": kind}}
    if len(described) > 1:
        description["further_inputs"] = described[1:]
    batch = {key: {0: "batch"} for key in [*inputs, "y"]}

    def save(path):
        torch.onnx.export(
            module, tuple(inputs.values()), str(path), opset_version=OPSET,
            input_names=list(inputs), output_names=["y"], dynamic_axes=batch,
        )

    flat = [value.reshape(len(value), -1).double() for value in inputs.values()]
    return {
        "name": name, "file": f"{name}.onnx", "by": f"PyTorch {torch.__version__}",
        "description": description, "save": save,
        "inputs": torch.cat(flat, dim=1).numpy(), "outputs": outputs,
    }


def models():
    torch.manual_seed(20261127)
    lengths = torch.randint(2, 8, (ROWS, 1))
    return [
        exported("torch-mlp", Perceptron(), "probabilities", x=torch.randn(ROWS, 12)),
        exported("torch-resnet", SmallResNet(), "values", image=torch.randn(ROWS, 3, 17, 16)),
        exported("torch-mobile", MobileBlock(), "values", x=torch.randn(ROWS, 2, 12, 12)),
        exported(
            "torch-encoder", Encoder(), "values",
            ids=torch.randint(0, 30, (ROWS, 7)), mask=(torch.arange(7) < lengths).float(),
        ),
    ]


if __name__ == "__main__":
    write_all(models())
