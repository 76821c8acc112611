"""Matching of the tensors of a file to the weights of a method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

#: Name prefixes of weights; averaged weights are preferred.
WEIGHT_PREFIXES = ("average.", "model.")

#: Name prefixes of training state.
_OTHER_PARTS = ("count.", "optimizer.", "random.")

#: Name parts that other programs insert, and those programs.
_WRAPPERS = {
    "module": "DistributedDataParallel or DataParallel",
    "_orig_mod": "torch.compile",
    "model": "a training script",
}


@dataclass(frozen=True)
class Naming:
    """The tensors of a file that are a model's weights.

    Attributes:
        names: name in the file by weight name.
        removed: parts that were removed from names.
    """

    names: dict[str, str]
    removed: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """A sentence on the removed parts; None if there were none."""
        parts = " and ".join(f"'{part}.' (of {_WRAPPERS[part]})" for part in self.removed)
        return (
            f"The names of the weights had the additional part {parts}, which was ignored." if parts else None
        )


def find_weights(names: Iterable[str], expected: Iterable[str]) -> Naming:
    """Find a model's weights in a file, with or without the prefixes of other programs.

    Args:
        names: names of all tensors of the file.
        expected: names of the method's tensors.

    Returns:
        The first set with all expected names, else the set with most of them.
    """
    wanted = set(expected)
    namings = [
        naming
        for candidates in _candidates(list(names))
        if candidates
        for naming in (Naming(candidates), _unwrapped(candidates, wanted))
    ]
    fitting = (naming for naming in namings if set(naming.names) == wanted)
    most = max(namings, key=lambda naming: len(wanted & set(naming.names)), default=Naming({}))
    return next(fitting, most)


def _candidates(names: list[str]) -> Iterator[dict[str, str]]:
    """Possible sets of weights, by name without MAESIL's own prefix."""
    for prefix in WEIGHT_PREFIXES:
        yield {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    yield {name: name for name in names if not name.startswith(_OTHER_PARTS)}


def _unwrapped(candidates: dict[str, str], wanted: set[str]) -> Naming:
    names, removed = {}, set[str]()
    for short, name in candidates.items():
        parts = short.split(".")
        taken = {part for part in parts if part in _WRAPPERS} if short not in wanted else set()
        names[".".join(part for part in parts if part not in taken)] = name
        removed |= taken
    return Naming(names, tuple(part for part in _WRAPPERS if part in removed))


def shortened(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors in half precision; integers and tensors that would overflow stay unchanged."""
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
    return {
        name: half if bool(torch.isfinite(half).all()) else tensors[name] for name, half in halves.items()
    }


def misfit(given: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str | None:
    """How weights differ from those of a method, as the end of a sentence; None if they fit.

    Args:
        given: tensors by name.
        expected: the method's tensors by name.
    """
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    if missing and len(missing) == len(expected):
        return _nothing_alike(missing[0], unknown)
    if missing:
        return f"it lacks {_counted(missing, 'tensor')}{_besides(unknown)}"
    if unknown:
        return f"it holds {_counted(unknown, 'tensor')} that the method does not have"
    others = [name for name, tensor in expected.items() if given[name].shape != tensor.shape]
    if others:
        first, more = others[0], len(others) - 1
        also = f" ({more} more differ{'s' * (more == 1)})" if more else ""
        return f"the tensor {first} has the shape {_shape(given[first])} instead of {_shape(expected[first])}{also}"
    kinds = [name for name in given if given[name].is_floating_point() != expected[name].is_floating_point()]
    if kinds:
        kind = str(given[kinds[0]].dtype).removeprefix("torch.")
        needed = "real" if expected[kinds[0]].is_floating_point() else "whole"
        return f"the tensor {kinds[0]} holds {kind} instead of {needed} numbers"
    broken = [name for name, tensor in given.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        return f"the tensor {broken[0]} holds NaN or infinite values, as after diverged training"
    return None


def _nothing_alike(first: str, unknown: Sequence[str]) -> str:
    if not unknown:
        return "it holds no weights"
    return (
        f"none of its {len(unknown)} tensors has a name of the method: rename tensors such as {unknown[0]} to names "
        f"such as {first} (remove a prefix such as 'net.')"
    )


def _besides(unknown: Sequence[str]) -> str:
    return f", and holds {_counted(unknown, 'tensor')} that the method does not have" if unknown else ""


def _counted(names: Sequence[str], what: str) -> str:
    if len(names) == 1:
        return f"the {what} {names[0]}"
    return f"{len(names)} {what}s, such as {names[0]}"


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "of a single number"
