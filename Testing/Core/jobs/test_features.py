"""The features job: what its folder holds, how it is stopped, and what is told when it cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, load_checkpoint
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.inference import encode
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobs import JobProcess
from MAESILCore.jobs.features import KIND, prepare_features
from MAESILCore.jobs.progress import Progress
from MAESILCore.lattice import pca_colours

GEOMETRY = np.array([[-0.7, 0, 0, 5.0], [0, 0.7, 0, -9.0], [0, 0, -2.5, 1.0], [0, 0, 0, 1]])


@pytest.fixture
def a_scan() -> Volume:
    k, j, i = np.ogrid[:13, :22, :30]
    voxels = 500 * np.sin(k / 5) * np.cos(j / 7) + 10 * i - 500
    return Volume(voxels.astype(np.int16), GEOMETRY, "Döe", ("a note",))


@pytest.mark.process
def test_a_job_gives_the_vectors_and_colours_of_its_scan(
    a_scan: Volume, tiny_model: Path, tmp_path: Path
) -> None:
    folder = prepare_features(tmp_path / "jobs", a_scan, model=str(tiny_model), device="cpu", level=0)
    with JobProcess(folder) as job:
        job.start()
        assert job.wait(120) == "finished", job.message + job.log
        assert job.message.startswith("Computed the features of ")
        result = json.loads((folder / "result.json").read_text())
        vectors, colours, body = (np.load(folder / f"{name}.npy") for name in ("vectors", "colours", "body"))
    expected = encode(a_scan, load_checkpoint(tiny_model), 0, device="cpu")
    np.testing.assert_allclose(vectors, expected.vectors, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(body, expected.body)
    shown = np.moveaxis(pca_colours(expected), -1, 0).astype(int)
    assert np.abs(colours.astype(int) - shown).max() <= 1
    np.testing.assert_allclose(result["lattice_to_ras"], expected.lattice_to_ras)
    assert result["stride_kji"] == list(expected.stride)
    assert result["notes"] == ["a note"]


def events_of(folder: Path, stop_at: str = "never") -> list[Event]:
    """Do the job in this process, and stop at the first message that holds a text."""
    events: list[Event] = []

    def stopped() -> bool:
        return any(stop_at in event.message for event in events)

    _, request = JobFolder(folder).description()
    KIND.run(JobFolder(folder), request, Progress(events.append), stopped)
    return events


def test_a_job_is_stopped_between_passes(a_scan: Volume, tiny_model: Path, tmp_path: Path) -> None:
    folder = prepare_features(tmp_path, a_scan, model=str(tiny_model), device="cpu")
    with pytest.raises(Cancelled):
        events_of(folder, "Computing")
    assert not (folder / "result.json").exists()


def test_bad_requests_and_files_give_one_sentence(a_scan: Volume, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device"):
        prepare_features(tmp_path, a_scan, device="abacus")
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError):
        prepare_features(tmp_path / "file", a_scan)
    folder = prepare_features(tmp_path, a_scan, model=str(tiny_model), device="cpu", level=99)
    with pytest.raises(ConfigError, match="has no feature level 99: its levels are 0 to"):
        events_of(folder)
    (folder / "voxels.npy").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"file voxels\.npy is damaged; start the job again"):
        events_of(folder)
    described = json.loads((folder / "job.json").read_text())
    described["request"]["colour"] = "mauve"
    (folder / "job.json").write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=r"cannot be read \(unknown: colour\); start the job again"):
        events_of(folder)
