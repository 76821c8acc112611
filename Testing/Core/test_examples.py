"""The examples in the docstrings of the public names: they run, and print what they say."""

from __future__ import annotations

import doctest
import inspect

import pytest

import MAESILCore

#: A function or class that everybody needs comes with an example.
SHOWN = {
    "Mask",
    "MaskStrategy",
    "SuperpatchGrid",
    "Volume",
    "Window",
    "load_checkpoint",
    "reconstruct",
    "roi_mask_from_box",
    "roi_mask_from_label",
    "write_volume",
}


def examples_of(name: str) -> list[doctest.DocTest]:
    """The examples of a public name and of its methods."""
    value = getattr(MAESILCore, name)
    if not callable(value):
        return []
    module = inspect.getmodule(value)
    found = doctest.DocTestFinder(exclude_empty=True).find(value, name, module=module)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MAESILCore.__all__)
def test_examples_print_what_they_say(name: str) -> None:
    examples = examples_of(name)
    assert examples or name not in SHOWN
    for example in examples:
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
        assert result.failed == 0, example.name
