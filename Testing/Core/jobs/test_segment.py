"""The jobs of a segmentation: a detached training that is stopped and resumed, and its model applied to a scan."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.inference import segment
from MAESILCore.downstream.segmentation.model import load_segmentation_model
from MAESILCore.errors import ConfigError
from MAESILCore.jobs import JobProcess
from MAESILCore.jobs.runs import delete, resume, stop, summary_of
from MAESILCore.jobs.segmentation import prepare_segmentation
from MAESILCore.jobs.segmenttraining import SegmentTrainingRequest, prepare_segmentation_training
from Testing.Core.downstream.conftest import RECIPE, labelled_cases, labelled_volume

__all__ = ["labelled_cases"]


def test_a_training_in_the_background_is_stopped_resumed_and_its_model_applied(
    labelled_cases: list[Case], tmp_path: Path
) -> None:
    folder = prepare_segmentation_training(
        tmp_path / "runs",
        labelled_cases[:2],
        name="Balls",
        steps=2000,
        device="cpu",
        overrides={**RECIPE, "checkpoint_every": 1000},
    )
    prepared = summary_of(folder)
    assert prepared is not None
    assert (prepared.name, prepared.method, prepared.state, prepared.total) == (
        "Balls",
        "segmentation",
        "prepared",
        2000,
    )
    with resume(folder) as job:
        until = time.monotonic() + 120
        while (running := summary_of(folder)) is not None and running.step < 3 and time.monotonic() < until:
            assert running.state in ("running", "prepared"), job.log
            time.sleep(0.05)
        assert stop(folder)
        assert job.wait(120) == "cancelled", job.log
    stopped = summary_of(folder)
    assert stopped is not None
    assert 3 <= stopped.step < 2000
    with resume(folder, steps=stopped.step + 1) as job:
        assert job.wait(120) == "finished", job.log
    finished = summary_of(folder)
    assert finished is not None
    assert (finished.step, finished.state) == (stopped.step + 1, "finished")

    scan, _ = labelled_volume(7)
    with JobProcess(prepare_segmentation(tmp_path / "jobs", scan, folder, device="cpu")) as job:
        job.start()
        assert job.wait(120) == "finished", job.log
        assert job.message.startswith("Segmented with Balls on CPU")
        place = Path(job.folder.path)
        result = json.loads((place / "result.json").read_text())
        labels, uncertainty = np.load(place / "labels.npy"), np.load(place / "uncertainty.npy")
    expected = segment(scan, load_segmentation_model(folder), device="cpu")
    assert np.array_equal(labels, expected.segmentation.labels)
    assert np.allclose(uncertainty, expected.uncertainty, atol=1e-5)
    assert [one["name"] for one in result["structures"]] == ["bright", "dark"]
    delete(folder)
    assert not folder.exists()


def test_requests_that_do_not_fit_are_refused(labelled_cases: list[Case], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        prepare_segmentation_training(tmp_path, [Case("/none.nrrd", "/none.seg.nrrd")])
    with pytest.raises(ConfigError, match="at least 1"):
        prepare_segmentation_training(tmp_path, labelled_cases, steps=0)
    assert not list(tmp_path.iterdir())
    request = SegmentTrainingRequest(tuple(labelled_cases))
    assert SegmentTrainingRequest.of(json.loads(json.dumps(request.content))) == request
    with pytest.raises(ConfigError, match="keeps its cases"):
        request.changed(None, ["/a"])
    with pytest.raises(ConfigError, match="one process"):
        request.changed(None, (), processes=2)
    with pytest.raises(ConfigError, match="unknown: method"):
        SegmentTrainingRequest.of({"cases": [], "method": "mae"})


def test_a_model_of_another_kind_fails_with_a_sentence(tmp_path: Path) -> None:
    scan, _ = labelled_volume(7)
    folder = prepare_segmentation(tmp_path, scan, "maesil-small-ct", device="cpu")
    with JobProcess(folder) as job:
        job.start()
        assert job.wait(120) == "failed"
        assert "is no segmentation model" in job.message
