"""`prepare` on a Dask cluster."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conftest import tree
from MAESILCore.errors import ConfigError
from MAESILCore.store.checking import check
from MAESILCore.store.preparing import prepare


@pytest.mark.process
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_cluster_finishes_the_work_of_a_worker_that_is_killed(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    for number in range(6):
        write_ct(f"{number}.nrrd", number, shape=(64, 80, 80))
    killed: list[int] = []
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        workers = list(client.run(os.getpid).values())

        def kill_once(done: int, total: int, message: str) -> None:
            if not killed:
                killed.append(workers[0])
                os.kill(workers[0], signal.SIGKILL)

        address = cluster.scheduler_address
        made = prepare([tmp_path / "scans"], tmp_path / "store", cluster=address, progress=kill_once)
    assert (made.scans, killed) == (6, workers[:1])
    assert check(tmp_path / "store") == (6, [])
    prepare([tmp_path / "scans"], tmp_path / "alone")
    assert tree(tmp_path / "store") == tree(tmp_path / "alone")


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_not_there_is_a_sentence(
    write_ct: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("MAESILCore.store.workers._PATIENCE", 0.5)
    write_ct()
    with pytest.raises(ConfigError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"):
        prepare([tmp_path / "scans"], tmp_path / "store", cluster="tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match="no Dask scheduler at nonsense"):
        prepare([tmp_path / "scans"], tmp_path / "store", cluster="nonsense:://x")
