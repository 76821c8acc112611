"""Exports: another framework loads the encoder from the files alone, and its features are those of the method."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from MAESILCore.cli import main
from MAESILCore.errors import CheckpointError, ConfigError
from MAESILCore.methods import create
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.models.export import TARGETS, export_encoder

TRANSFORMERS = ("hi-end-mae", "jepa-vcr", "mae", "maesil", "sl-mae")
#: No two sides are alike, so that a wrong order of axes shows.
SIZE = (16, 32, 24)


def a_model(method: str, **fields: Any) -> LoadedModel:  # noqa: ANN401
    """A small model none of whose weights is zero or one."""
    torch.manual_seed(3)
    made = create(method, {"superpatch_size": (32, 32, 32), **fields}, "tiny")
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.2)
    config = made.config.model_dump(mode="json")
    card = Card("little", method, config, (-500.0, 300.0), {}, 3, data="two scans, CC BY 4.0")
    return LoadedModel(made.eval(), card)


def a_scan(batch: int = 2, size: tuple[int, ...] = SIZE) -> torch.Tensor:
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(5))


def code_of(folder: Path) -> str:
    """The Python code of an export's README."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```", readme, re.DOTALL | re.MULTILINE)
    return textwrap.dedent(code)


def run_guide(folder: Path, scan: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the Python code of an export's README leaves, run in its folder on this scan."""
    code = code_of(folder)
    code, count = re.subn(r"scan = .*", "scan = given", code)
    assert count == 1
    left: dict[str, Any] = {"given": scan.numpy() if "onnx" in code else scan}
    monkeypatch.chdir(folder)
    with torch.no_grad():
        exec(compile(code, "README.md", "exec"), left)
    return left


@pytest.fixture
def monai() -> None:
    """MONAI's transformers; before 1.6 they hold weights that they do not use."""
    pytest.importorskip("einops")
    pytest.importorskip("monai", minversion="1.6")


def equal(found: Any, expected: torch.Tensor) -> bool:  # noqa: ANN401 - an array or a tensor
    """Whether both are alike to a hundred-thousandth of the largest value."""
    found = torch.as_tensor(found)
    assert found.shape == expected.shape
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


@pytest.mark.usefixtures("monai")
@pytest.mark.parametrize("method", TRANSFORMERS)
def test_the_vit_of_monai_has_the_features_of_the_method(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, scan = a_model(method, patch_size=(4, 8, 8)), a_scan()
    assert export_encoder(model, "monai-vit", tmp_path, SIZE) == SIZE
    left = run_guide(tmp_path, scan, monkeypatch)
    with torch.no_grad():
        first, *_, last = model.method.features(scan, range(len(model.abilities.levels)))
    assert equal(left["features"], last.map)
    assert equal(left["summary"], last.summary)
    assert equal(left["states"][0][:, 1:].mT, first.map.flatten(2))


@pytest.mark.usefixtures("monai")
def test_the_bundled_model_goes_to_monai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, scan = load_checkpoint(), a_scan(1)
    export_encoder(model, "monai-vit", tmp_path, SIZE)
    left = run_guide(tmp_path, scan, monkeypatch)
    with torch.no_grad():
        (expected,) = model.method.features(scan)
    assert equal(left["features"], expected.map)
    assert "CC BY 4.0" in (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("monai")
@pytest.mark.parametrize("patch", [(16, 16, 16), (8, 4, 16)])
def test_the_unetr_of_monai_has_the_features_of_block_means(
    patch: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = a_model("maesil", superpatch_size=(64, 64, 64), patch_size=patch)
    size = (32, 64, 16)
    scan = a_scan(size=size)
    export_encoder(model, "monai-unetr", tmp_path, size)
    left = run_guide(tmp_path, scan, monkeypatch)
    means = F.avg_pool3d(scan, tuple(16 // edge for edge in patch))
    with torch.no_grad():
        first, last = model.method.features(means, (0, 1))
    assert equal(left["tokens"].mT, last.map.flatten(2))
    assert equal(
        left["states"][3].mT, first.map.flatten(2)
    )  # a third of the way through UNETR's twelve blocks
    assert left["outputs"].shape == (2, 2, *size)


def test_a_unetr_of_twelve_blocks_asks_those_that_monai_asks(tmp_path: Path) -> None:
    model = a_model("mae", encoder={"width": 12, "depth": 12, "heads": 2})
    export_encoder(model, "monai-unetr", tmp_path)
    facts = json.loads((tmp_path / "encoder.json").read_text())
    assert facts["levels"] == list(range(12))
    assert facts["input"]["size"] == [32, 32, 32]


def primus(weights: dict[str, torch.Tensor], scan: torch.Tensor, heads: int) -> torch.Tensor:
    """The tokens of nnU-Net's Primus with plain MLPs, (B, 1 + N, E), as its source says."""
    embedded = weights["down_projection.proj.weight"], weights["down_projection.proj.bias"]
    patches = F.conv3d(scan, *embedded, stride=embedded[0].shape[2:]).flatten(2).mT
    x = torch.cat([weights["register_tokens"].expand(len(scan), -1, -1), patches], dim=1)
    x = x + weights["eva.pos_embed"]
    width = x.shape[2:]

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, width, weights[f"{name}.weight"], weights[f"{name}.bias"])

    for number in range(1 + max(int(name.split(".")[2]) for name in weights if ".blocks." in name)):
        block = f"eva.blocks.{number}"
        y = norm(f"{block}.norm1", x)
        query, key, value = (
            linear(f"{block}.attn.{one}_proj", y).unflatten(2, (heads, -1)).transpose(1, 2) for one in "qkv"
        )
        attention = (query @ key.mT / key.shape[-1] ** 0.5).softmax(dim=-1)
        x = x + linear(f"{block}.attn.proj", (attention @ value).transpose(1, 2).flatten(2))
        y = F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + linear(f"{block}.mlp.fc2", y)
    return norm("eva.norm", x)


@pytest.mark.parametrize("method", ["jepa-vcr", "maesil"])
def test_the_blocks_of_nnunet_have_the_features_of_the_method(method: str, tmp_path: Path) -> None:
    model, scan = a_model(method), a_scan()
    export_encoder(model, "nnunet", tmp_path, SIZE)
    tokens = primus(load_file(tmp_path / "encoder.safetensors"), scan, heads=3)[:, 1:]
    with torch.no_grad():
        (expected,) = model.method.features(scan)
    assert equal(tokens.mT, expected.map.flatten(2))


def a_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """The trainer class of an export, found as nnU-Net finds it."""
    monkeypatch.setenv("nnUNet_extTrainer", str(folder))
    find = pytest.importorskip("nnunetv2.utilities.find_objects")
    return find.recursive_find_trainer_class_by_name("nnUNetTrainerMAESIL")


class Plans:
    """What the trainer asks of nnU-Net's plans."""

    def __init__(self, patch_size: tuple[int, ...]) -> None:
        self.patch_size = patch_size


@pytest.mark.filterwarnings("ignore")
def test_nnunet_itself_loads_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, scan = a_model("maesil"), a_scan()
    export_encoder(model, "nnunet", tmp_path, SIZE)
    trainer = a_trainer(tmp_path, monkeypatch)
    network = trainer.build_network_architecture(None, Plans(SIZE), 1, 3, False).eval()
    parent = trainer.__mro__[1]
    monkeypatch.setattr(parent, "initialize", lambda self: setattr(self, "network", network))
    trainer.initialize(object.__new__(trainer))
    with torch.no_grad():
        embedded = network.down_projection(scan).flatten(2).mT
        tokens, _ = network.eva(torch.cat([network.register_tokens.expand(2, -1, -1), embedded], dim=1))
        (expected,) = model.method.features(scan)
        assert network(scan).shape == (2, 3, *SIZE)
    assert equal(tokens[:, 1:].mT, expected.map.flatten(2))
    with pytest.raises(ValueError, match=r"patch size \[16, 32, 24\]"):
        trainer.build_network_architecture(None, Plans((32, 32, 32)), 1, 3, False)


def test_the_plans_of_nnunet_map_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_encoder(a_model("maesil"), "nnunet", tmp_path)
    folder = tmp_path / "Dataset001_Name"
    folder.mkdir()
    channels = {"0": {"mean": 1.0, "std": 2.0, "percentile_00_5": 3.0, "percentile_99_5": 4.0, "max": 5.0}}
    configuration = {
        "batch_size": 2,
        "patch_size": [1, 2, 3],
        "normalization_schemes": ["ZScoreNormalization"],
    }
    plans = {
        "plans_name": "nnUNetPlans",
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": channels,
    }
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    exec(compile(code_of(tmp_path), "README.md", "exec"), {})
    written = json.loads((folder / "nnUNetPlansMAESIL.json").read_text())
    assert written["plans_name"] == "nnUNetPlansMAESIL"
    assert written["configurations"]["3d_fullres"] == {
        "batch_size": 2,
        "patch_size": [32, 32, 32],
        "normalization_schemes": ["CTNormalization"],
        "data_identifier": "nnUNetPlansMAESIL_3d_fullres",
    }
    mean, deviation, low, high, _ = written["foreground_intensity_properties_per_channel"]["0"].values()
    assert [(value - mean) / deviation for value in (low, -100.0, high)] == [0.0, 0.5, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["maesil", "vq-vae"])
def test_a_graph_has_the_features_of_the_method_for_any_batch(
    method: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    repository: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = a_model(method)
    export_encoder(model, "onnx", tmp_path, SIZE)
    assert capfd.readouterr() == ("", "")
    graph = onnx.load(tmp_path / "encoder.onnx")
    facts = json.loads((tmp_path / "encoder.json").read_text())
    assert [one.version for one in graph.opset_import if not one.domain] == [facts["opset"]]
    assert {one.key: one.value for one in graph.metadata_props}["data"] == "two scans, CC BY 4.0"
    for batch in (1, 3):
        scan = a_scan(batch)
        left = run_guide(tmp_path, scan, monkeypatch)
        assert code_of(tmp_path) in (repository / "docs" / "export.md").read_text(encoding="utf-8")
        with torch.no_grad():
            expected = model.method.features(scan, range(len(model.abilities.levels)))
        for found, level in zip(left["levels"], expected, strict=True):
            assert equal(found, level.map)
        summary = expected[-1].summary
        assert equal(left["summary"], expected[-1].map.mean(dim=(2, 3, 4)) if summary is None else summary)


@pytest.mark.slow
def test_features_that_depend_on_values_are_no_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    model = a_model("ae")
    usual = model.method.features
    monkeypatch.setattr(model.method, "features", lambda x, levels: usual(x[: 1 + int(x.max())], levels))
    with pytest.raises(ConfigError, match=r"little \(ae\) cannot be written as an ONNX graph"):
        export_encoder(model, "onnx", tmp_path / "out", SIZE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["monai-vit", "monai-unetr", "nnunet"])
def test_the_file_of_weights_says_where_they_come_from(target: str, tmp_path: Path, repository: Path) -> None:
    export_encoder(a_model("maesil"), target, tmp_path)
    with safe_open(tmp_path / "encoder.safetensors", "pt") as handle:
        told = handle.metadata()
    assert told["name"] == "little"
    assert told["data"] == "two scans, CC BY 4.0"
    assert json.loads(told["intensity"])["window"] == [-500.0, 300.0]
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert code_of(tmp_path) in (repository / "docs" / "export.md").read_text(encoding="utf-8")
    assert "two scans, CC BY 4.0" in readme
    assert "[-500, 300] HU become [0, 1]" in readme


REFUSED: list[tuple[Callable[[], LoadedModel], str, tuple[int, int, int] | None, str]] = [
    (lambda: a_model("ae"), "monai-vit", None, "little .ae. has no transformer that monai-vit could load"),
    (lambda: a_model("ae"), "nnunet", None, "export it to onnx"),
    (
        lambda: a_model("mae", superpatch_size=(48, 48, 48), patch_size=(12, 12, 12)),
        "monai-unetr",
        None,
        "12 x 12 x 12 does not divide: export the model to monai-vit",
    ),
    (
        lambda: a_model("mae", superpatch_size=(48, 48, 48), patch_size=(12, 12, 12)),
        "nnunet",
        None,
        "powers of two, not of 12 x 12 x 12",
    ),
    (
        lambda: a_model("mae"),
        "monai-vit",
        (32, 30, 32),
        "32 x 30 x 32 .* multiples of 8 x 8 x 8 and at most 32",
    ),
    (lambda: a_model("mae"), "nnunet", (64, 32, 32), "64 x 32 x 32"),
    (lambda: a_model("mae"), "monai-unetr", (80, 64, 64), "at most 64 x 64 x 64"),
    (lambda: a_model("mae"), "monai-vit", (0, 32, 32), "0 x 32 x 32"),
    (lambda: a_model("mae"), "keras", None, "no export 'keras'; choose one of monai-vit, monai-unetr"),
]


@pytest.mark.parametrize(("model", "target", "size", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    model: Callable[[], LoadedModel],
    target: str,
    size: tuple[int, int, int] | None,
    sentence: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        export_encoder(model(), target, tmp_path / "out", size)
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file; choose another place"):
        export_encoder(a_model("mae"), "monai-vit", tmp_path / "file" / "out")


def test_the_command_writes_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "export",
        "maesil-plus",
        "--to",
        "nnunet",
        "--out",
        str(tmp_path / "a folder"),
        "--size",
        "8",
        "16",
        "8",
    ]
    assert main(arguments) == 0
    assert "maesil-plus for nnunet, inputs of 8 x 16 x 8 voxels" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "a folder").iterdir())
    assert written == ["README.md", "encoder.json", "encoder.safetensors", "nnUNetTrainerMAESIL.py"]
    assert main(["export", "maesil-plus", "--to", "keras", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert all(target in error for target in TARGETS)
