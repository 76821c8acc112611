"""The abilities that a method declares; its checkpoints store a copy. Needs neither PyTorch nor pydantic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from MAESILCore.errors import ConfigError

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class FeatureLevel:
    """A depth of the network that gives features.

    Attributes:
        stride: voxels per feature vector along k, j, i.
        width: channels of a feature vector.
    """

    stride: Triple
    width: int


@dataclass(frozen=True)
class Abilities:
    """What a method can do.

    Attributes:
        hides: it needs masks and learns to fill in hidden patches. Other methods see all voxels, so their output is no
            prediction of hidden ones.
        reconstructs: it returns voxels; other methods return features only.
        levels: depths that `Method.features` supports, from shallow to deep.
        keeps_visible: it returns visible voxels unchanged, so an unmasked pass has no score.
        needs_whole_batch: its loss uses batch statistics, so the batch must not be split.
        gathers_statistics: it sums the statistics of its batch over all processes, so several may train it although it
            needs the whole batch.
        keeps_teacher: it averages its own weights, so the trainer does not.
        code_bits: bits of a vector of the deepest level, if it is one of a codebook; None for real numbers.
        latent_values: numbers that a reconstruction gets of each place of the deepest level, if these are not just its
            feature vector.
    """

    hides: bool
    reconstructs: bool
    levels: tuple[FeatureLevel, ...]
    keeps_visible: bool = False
    needs_whole_batch: bool = False
    gathers_statistics: bool = False
    keeps_teacher: bool = False
    code_bits: float | None = None
    latent_values: int | None = None

    @property
    def latent_per_voxel(self) -> float | None:
        """Values per voxel of which an unmasked pass makes voxels; None for codes or without levels."""
        if not self.levels or self.code_bits is not None:
            return None
        deepest = self.levels[-1]
        return (self.latent_values or deepest.width) / math.prod(deepest.stride)

    @property
    def latent_bits_per_voxel(self) -> float | None:
        """Bits of the deepest level per voxel, for codes; None for real numbers, whose bits nothing limits."""
        if not self.levels or self.code_bits is None:
            return None
        return self.code_bits / math.prod(self.levels[-1].stride)

    def to_json(self) -> dict[str, Any]:
        """The JSON form that a card stores."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Abilities:
        """Read the result of `to_json`; unknown fields are ignored.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or of the wrong type.
        """
        levels = tuple(FeatureLevel(triple(one["stride"]), int(one["width"])) for one in fields["levels"])
        switches = {one.name for one in dataclass_fields(cls)} - {"levels", "code_bits", "latent_values"}
        bits, values = fields.get("code_bits"), fields.get("latent_values")
        return cls(
            levels=levels,
            code_bits=None if bits is None else float(bits),
            latent_values=None if values is None else int(values),
            **{name: bool(value) for name, value in fields.items() if name in switches},
        )

    def why_no_voxels(self, name: str) -> str:
        """Why a model of this name cannot reconstruct; "" if it can."""
        if self.reconstructs:
            return ""
        return f"{name} gives features, not voxels, and cannot reconstruct: choose a model that reconstructs."

    def why_no_features(self, name: str) -> str:
        """Why a model of this name gives no features; "" if it does."""
        return "" if self.levels else f"{name} gives no features: choose another model."


#: Default for user models that declare no abilities.
UNDECLARED = Abilities(hides=True, reconstructs=True, levels=())


def abilities_of(model: object) -> Abilities:
    """The model's `abilities`; the default is `UNDECLARED`."""
    abilities: Abilities = getattr(model, "abilities", UNDECLARED)
    return abilities


def check_reconstructs(model: object) -> None:
    """Check that a model can reconstruct.

    Raises:
        ConfigError: the model returns features only.
    """
    obstacle = abilities_of(model).why_no_voxels(str(getattr(model, "name", "The model")))
    if obstacle:
        raise ConfigError(obstacle)


def masked_transformer(config: Mapping[str, Any]) -> Abilities:
    """The abilities of a masked autoencoder, from its configuration.

    Old cards have no abilities; all of them describe masked autoencoders.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of the wrong type.
    """
    level = FeatureLevel(triple(config["patch_size"]), int(config["encoder"]["width"]))
    return Abilities(
        hides=True,
        reconstructs=True,
        levels=(level,) * int(config["encoder"]["depth"]),
        keeps_visible=bool(config.get("residual_fill", False)),
    )


def triple(sizes: Any) -> Triple:  # noqa: ANN401 - it is checked here
    """Three whole numbers along k, j, i.

    Raises:
        TypeError, ValueError: they are not three numbers.
    """
    k, j, i = (int(size) for size in sizes)
    return k, j, i
