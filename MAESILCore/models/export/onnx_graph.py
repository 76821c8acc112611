"""The features of a model as an ONNX graph, for any method that has features."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from MAESILCore.errors import ConfigError
from MAESILCore.methods.abilities import Triple
from MAESILCore.methods.base import Method
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.export.folder import origin
from MAESILCore.models.export.parts import Export, TokenEncoder, fitting_size, token_encoder
from MAESILCore.nn.tokens import patchify
from MAESILCore.optional import require

#: Opset of the graph; it is the first with LayerNormalization and GroupNormalization that the exporter writes.
OPSET = 18
GRAPH = "encoder.onnx"

_GUIDE = """\
The graph has opset {opset} and takes any batch, of the size above. It needs `onnxruntime`, or another runtime.

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("encoder.onnx", providers=["CPUExecutionProvider"])
scan = np.zeros((1, 1, *session.get_inputs()[0].shape[2:]), np.float32)  # (B, 1, k, j, i) in [0, 1]
summary, *levels = session.run(None, {{"superpatches": scan}})  # (B, D), and (B, C, k, j, i) for each level
```

`level_0` is the shallowest level, `level_{last}` the deepest. {summary}
"""
_SUMMARIES = {
    "token": "The summary is the summary token after the last block.",
    "mean": "The summary is the mean of the deepest level.",
}


class TokenGraph(nn.Module):
    """The features of a transformer without masks, whose bookkeeping no graph can hold."""

    positions: torch.Tensor

    def __init__(self, found: TokenEncoder) -> None:
        super().__init__()
        self.found = found
        self.encoder = found.encoder
        self.register_buffer("positions", found.positions(), persistent=False)

    def forward(self, superpatches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 1, K, J, I) -> the summary, (B, E), and the map of each level, (B, E, k, j, i)."""
        encoder = self.encoder
        patches = patchify(superpatches, encoder.config.patch_size)  # (B, N, p^3)
        tokens = encoder.embed(patches * 2.0 - 1.0) + self.positions  # (B, N, E)
        tokens = torch.cat([encoder.summary_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        states = encoder.encoder.intermediates(tokens, range(len(encoder.encoder.blocks)))
        last = states[-1]
        summary = last[:, 0] if self.found.summary == "token" else last[:, 1:].mean(dim=1)
        width = encoder.config.encoder.width
        maps = [state[:, 1:].mT.reshape(-1, width, *self.found.lattice) for state in states]
        return summary, *maps


class MethodGraph(nn.Module):
    """The features of any other method."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, superpatches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 1, K, J, I) -> the summary, (B, D), and the map of each level, (B, C, k, j, i)."""
        found = self.method.features(superpatches, range(len(self.method.abilities.levels)))
        deepest = found[-1]
        summary = deepest.map.mean(dim=(2, 3, 4)) if deepest.summary is None else deepest.summary
        return summary, *(one.map for one in found)


def export(model: LoadedModel, size: Triple | None) -> Export:
    """The graph, equal to the model's features at all levels.

    Raises:
        ConfigError: the size does not fit, PyTorch is too old, or the features cannot be written as a graph.
        MissingPackageError: a package that PyTorch's exporter needs is not installed.
    """
    size = fitting_size(model, size, model.patch_size)
    for package in ("onnx", "onnxscript"):
        require(package, "The export to ONNX")
    graph, summary = _graph(model, size)
    program = _traced(model, graph.eval(), size)

    def write(folder: Path) -> None:
        program.model.metadata_props.update(origin(model.card) | {"summary": summary})
        program.save(folder / GRAPH, external_data=False)

    levels = [
        {"output": f"level_{number}", "stride": list(level.stride), "width": level.width}
        for number, level in enumerate(model.abilities.levels)
    ]
    facts = {"opset": OPSET, "summary": summary, "levels": levels}
    guide = _GUIDE.format(opset=OPSET, last=len(levels) - 1, summary=_SUMMARIES.get(summary, ""))
    return Export(write, facts, guide, size)


def _graph(model: LoadedModel, size: Triple) -> tuple[nn.Module, str]:
    """The module to trace, and the kind of its summary."""
    try:
        found = token_encoder(model, "onnx", size)
    except ConfigError:
        with torch.no_grad():
            (deepest,) = model.method.features(torch.zeros(1, 1, *size), (-1,))
        return MethodGraph(model.method), "mean" if deepest.summary is None else "method"
    return TokenGraph(found), found.summary


def _traced(model: LoadedModel, graph: nn.Module, size: Triple) -> Any:  # noqa: ANN401 - it has no stable name
    """PyTorch's program of the graph."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        raise ConfigError(f"The export to ONNX needs PyTorch 2.6 or newer, and this is {torch.__version__}.")
    names = [f"level_{number}" for number in range(len(model.abilities.levels))]
    # Without gradients, convolutions are calls of oneDNN, which no graph can hold.
    with _quiet(), torch.enable_grad():
        try:
            return torch.onnx.export(
                graph,
                (torch.zeros(2, 1, *size),),
                input_names=["superpatches"],
                output_names=["summary", *names],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes={"superpatches": {0: torch.export.Dim.DYNAMIC}},
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ConfigError(
                f"{model.name} ({model.method.name}) cannot be written as an ONNX graph: its features depend on "
                "values, or use what ONNX does not have."
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence PyTorch's exporter, which tells of its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
