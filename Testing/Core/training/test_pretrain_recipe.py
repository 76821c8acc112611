"""Recipes of pre-trainings: read, checked, written back, and what the optimiser makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.methods import METHODS, create
from MAESILCore.training import PretrainConfig, load_config
from MAESILCore.training.config import RECIPES, dump_config
from MAESILCore.training.schedule import has_fused_step, learning_rate


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = PretrainConfig(
        steps=100, warmup_steps=10, cooldown=0.4, learning_rate=1.0, final_learning_rate=0.1
    )
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:60] == [1.0] * 50
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[80] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_a_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    recipe = PretrainConfig(hold_out=("a*",), seed=7)
    (tmp_path / "recipe.yaml").write_text(dump_config(recipe))
    assert dump_config(load_config(tmp_path / "recipe.yaml")) == dump_config(recipe)
    assert load_config(tmp_path / "recipe.yaml", {"steps": 9}).steps == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz: 3", "stepz: Extra inputs"),
        ("steps: 0", "steps: .*greater than or equal to 1"),
        ("steps: 1000000001", "steps: .*less than or equal to 1000000000"),
        ("batch_size: 1000000", "batch_size: .*less than or equal to 65536"),
        ("window: [5, 5]", "lower end must be below"),
        ("crop: {size: [1, 2]}", "crop.size"),
        ("- a\n- b", "must hold lines of the form 'name: value', but it holds a list"),
        ("a: [", "cannot be read as YAML"),
        ("crop: {size: [0, 8, 8]}", "crop.size.0: .*greater than or equal to 1"),
        ("crop: {zoom: [0, 1]}", "zoom must be two numbers above 0"),
        ("crop: {zoom: [1.4, 0.7]}", "the lower one first"),
        ("crop: {zoom: [0.5, .inf]}", "crop.zoom.1: .*finite"),
        ("betas: [1.5, 2.0]", "betas.0: .*less than 1"),
        ("seed: 99999999999999", "seed: .*less than 2147483648"),
        ("learning_rate: .nan", "learning_rate"),
        ("mask: {plane_ratio: 0, axis_ratio: 0}", "mask: The plane ratio and the axis ratio are both 0"),
        ("mask: {vary: [0.9, 1.5]}", r"mask\.vary: .*must lie between 0 and 1.*1.5"),
        ("mask: {vary: [0.7, 0.3]}", r"mask\.vary: the lower number must come first"),
        ("precision: 16-mixed", "precision: .*'bf16-mixed'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_bundled_model_fit(recipe: Path) -> None:
    config = load_config(recipe)
    sizes = create(config.method, config.model, config.preset).config
    config.crop.check(sizes.patch_size, sizes.superpatch_size)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_brings_a_recipe_that_fits_it(name: str) -> None:
    config = load_config(None, {"method": name})
    assert config.method == name
    method = create(config.method, config.model, config.preset)
    assert (config.mask is not None) == method.abilities.hides
    config.crop.check(method.config.patch_size, method.config.superpatch_size)


def test_a_recipe_that_names_no_method_means_what_it_always_meant(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("steps: 3\ncrop: {size: [16, 16, 16]}\nmask: {mode: random}")
    assert load_config(None) == PretrainConfig()
    assert load_config(tmp_path / "recipe.yaml") == PretrainConfig.model_validate(
        {"steps": 3, "crop": {"size": (16, 16, 16)}, "mask": {"mode": "random"}}
    )


def test_a_recipe_that_comes_with_maesil_needs_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("maesil-small-ct").steps == 1400
    (tmp_path / "maesil-small-ct").write_text("steps: 7")
    assert load_config("maesil-small-ct").steps == 7


@pytest.mark.parametrize(
    ("device", "version", "fused"),
    [
        ("cpu", "2.2.2+cpu", False),
        ("cpu", "2.4.0", True),
        ("cpu", "2.13.0a0+git1", True),
        ("mps", "2.4.1", False),
        ("mps", "2.5.0", True),
        ("cuda", "2.2.2+cu121", True),
        ("xpu", "2.13.0", False),
    ],
)
def test_a_fused_step_is_asked_for_where_there_is_one(device: str, version: str, fused: bool) -> None:
    assert has_fused_step(torch.device(device), version) is fused
