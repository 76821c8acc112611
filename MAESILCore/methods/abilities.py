"""What a method can do: declared by it, copied into its checkpoints. Needs neither PyTorch nor pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from MAESILCore.errors import ConfigError

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class FeatureLevel:
    """One depth of the network from which features can be taken.

    Attributes:
        stride: voxels along k, j, i that one feature vector stands for.
        width: channels of a feature vector.
    """

    stride: Triple
    width: int


@dataclass(frozen=True)
class Abilities:
    """What trainer, walk, scores and faces may ask of a method.

    Attributes:
        hides: it learns by filling in hidden patches, so it is given masks. A method that does not sees every voxel,
            and its output says nothing about hidden ones.
        reconstructs: it gives voxels; one that does not gives features alone.
        levels: depths that `Method.features` can be asked for, from shallow to deep.
        keeps_visible: visible voxels come back as they are, so an unmasked pass has no score.
        needs_whole_batch: its loss uses statistics of the batch, which must not be divided into parts.
        keeps_teacher: it averages weights itself, so the trainer keeps no average beside them.
    """

    hides: bool
    reconstructs: bool
    levels: tuple[FeatureLevel, ...]
    keeps_visible: bool = False
    needs_whole_batch: bool = False
    keeps_teacher: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in a card."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Abilities:
        """Read what `to_json` gave; fields of a newer MAESIL are ignored.

        Raises:
            KeyError, TypeError, ValueError: something is missing or of another kind.
        """
        levels = tuple(FeatureLevel(triple(one["stride"]), int(one["width"])) for one in fields["levels"])
        return cls(
            hides=bool(fields["hides"]),
            reconstructs=bool(fields["reconstructs"]),
            levels=levels,
            keeps_visible=bool(fields.get("keeps_visible", False)),
            needs_whole_batch=bool(fields.get("needs_whole_batch", False)),
            keeps_teacher=bool(fields.get("keeps_teacher", False)),
        )

    def why_no_voxels(self, name: str) -> str:
        """Why a model of this name cannot reconstruct; "" if it can."""
        if self.reconstructs:
            return ""
        return f"{name} gives features, not voxels, and cannot reconstruct: choose a model that reconstructs."


#: What is assumed of a model of a user's own that does not declare what it can do.
UNDECLARED = Abilities(hides=True, reconstructs=True, levels=())


def abilities_of(model: object) -> Abilities:
    """What a model declares under `abilities`, else `UNDECLARED`."""
    declared = getattr(model, "abilities", UNDECLARED)
    assert isinstance(declared, Abilities)
    return declared


def check_reconstructs(model: object) -> None:
    """See that a model gives voxels.

    Raises:
        ConfigError: it does not.
    """
    obstacle = abilities_of(model).why_no_voxels(str(getattr(model, "name", "The model")))
    if obstacle:
        raise ConfigError(obstacle)


def masked_transformer(config: Mapping[str, Any]) -> Abilities:
    """Abilities of a masked autoencoder over patches, from the fields of its configuration.

    Cards that were written before cards had abilities are all of such models.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of another kind.
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
