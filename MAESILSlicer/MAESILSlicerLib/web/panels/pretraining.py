"""The section that starts pre-trainings on this server and lists its runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.results.preview import addPreview
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.models import givesVoxels
from MAESILSlicerLib.session.runwords import Endings, curvesOf, obstaclesOf, rowOf, sentence
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.newrun import NewRun, wholeNumber
from MAESILSlicerLib.web.plot import line
from MAESILSlicerLib.web.views import COMPARISON

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import Preview, RunSummary

_SECONDS = 1.0
_ACTIONS = ("start", "stop", "resume", "duplicate", "delete", "preview", "use")
#: Most runs in the list; a longer one is unreadable.
MOST_RUNS = 200


class PretrainPanel:
    """Starts, shows, stops, resumes and deletes the runs in one folder.

    The page names data and runs by number and name, and never by path, so that users cannot probe the server's files:
    data are the folders of `maesil app --data`, runs those in the folder of `--runs`.

    Args:
        page: the shared objects of the page.
        data: folders of scans and stores.
        runs: the folder of the runs.
        onPreview: called with a preview to show in the views.
        onModel: called with name and file of a model to use.
    """

    def __init__(
        self,
        page: Page,
        data: Sequence[Path],
        runs: Path | None,
        onPreview: Callable[[ResultSet], None],
        onModel: Callable[[str, Path], None],
    ) -> None:
        self._page = page
        self._onPreview, self._onModel = onPreview, onModel
        self._board, self._endings = Board(), Endings()
        self._new = NewRun(page, data, self._board)
        self._previews: list[Preview] = []
        #: The run and the total of its steps that the input of its steps was last filled for.
        self._total: tuple[str, int] = ("", 0)
        page.state.update(
            {
                "has_runs": runs is not None,
                "pretrain_open": False,
                "run_rows": [],
                "run_chosen": "",
                "run_message": "",
                "run_steps": 0,
                "run_obstacles": obstaclesOf(None, None, 0)._asdict(),
                "run_asked": "",
                "run_curves": [],
                "run_curve": "loss",
                "run_plot": "",
                "run_previews": [],
                "run_preview": 0,
            }
        )
        if runs is None:
            return
        self._board.open(runs)
        page.state.change("run_chosen", "run_curve", "run_steps", "pretrain_open")(page.latest(self._look))
        self._new.follow()
        page.onTrigger("run_estimate", self._action(self._new.measure))
        page.onTrigger("run_forget", self._action(self._new.forget))
        for name in _ACTIONS:
            page.onTrigger(f"run_{name}", self._action(getattr(self, f"_{name}")))

    async def watch(self) -> None:
        """Read the folder once a second, while the page is served and the section is open."""
        while True:
            await asyncio.sleep(_SECONDS)
            if self._page.state.pretrain_open:
                try:
                    with self._page.state:
                        self._look()
                except Exception:
                    # Catch everything, or the list would never change again.
                    logging.exception("MAESIL: the runs could not be read")

    def close(self) -> None:
        """Release the runs, which go on, and end a measurement."""
        self._new.close()
        self._board.close()

    def _action(self, action: Callable[[], None]) -> Callable[[], None]:
        """An action of the page, with the list read before and after it."""

        def act() -> None:
            # First, so that the action's sentence is the one that stays.
            self._look()
            action()
            self._look()

        return self._page.action(act)

    # The list

    def _look(self) -> None:
        state, runs = self._page.state, self._board.refresh()[:MOST_RUNS]
        ending = self._endings.of(runs)
        if ending is not None:
            (self._page.notice.showError if ending[1] else self._page.notice.show)(ending[0])
        rows = [(run, rowOf(run)) for run in runs]
        state.run_rows = [
            {"key": run.folder.name, "kind": run.state, "name": row.name, "lines": row.lines}
            for run, row in rows
        ]
        self._new.look()
        run = self._run()
        if state.run_asked != state.run_chosen:
            state.run_asked = ""
        model = self._board.modelOf(run.folder) if run is not None else None
        total = (state.run_chosen, run.total if run is not None else 0)
        if total != self._total:
            self._total, state.run_steps = total, total[1]
        steps = state.run_steps if isinstance(state.run_steps, int) else 0
        state.run_obstacles = obstaclesOf(run, model, steps)._asdict()
        state.run_message = run.message if run is not None else ""
        self._showCurve(run)
        newest = self._previews[0].step if self._previews else None
        self._previews = self._board.previews(run.folder)[::-1] if run is not None else []
        state.run_previews = [preview.step for preview in self._previews]
        # Who has chosen the newest one goes on with the newest one, but the list names the one in the views.
        isFollowing = state.run_preview == newest and state.layout != COMPARISON
        if isFollowing or state.run_preview not in state.run_previews:
            state.run_preview = state.run_previews[0] if self._previews else 0

    def _run(self) -> RunSummary | None:
        """The chosen run; its name is compared with those of the folder, never used as a path."""
        chosen = self._page.state.run_chosen
        return next((run for run in self._board.runs[:MOST_RUNS] if run.folder.name == chosen), None)

    def _chosen(self) -> RunSummary:
        run = self._run()
        if run is None:
            raise MaesilError(sentence("runs.none"))
        return run

    def _showCurve(self, run: RunSummary | None) -> None:
        state = self._page.state
        curves = curvesOf(self._board.curves(run.folder)) if run is not None else []
        state.run_curves = [{"value": curve.key, "title": curve.title} for curve in curves]
        curve = next((one for one in curves if one.key == state.run_curve), None)
        state.run_plot = line(curve.points, curve.title, curve.isLogarithmic) if curve is not None else ""

    # Actions

    def _start(self) -> None:
        scans, choices = self._new.arguments()
        folder = self._board.start(scans, **choices)
        self._page.notice.show(sentence("runs.started-page", name=choices["name"]))
        self._page.state.run_chosen, self._page.state.pretrain_name = folder.name, ""

    def _stop(self) -> None:
        run = self._chosen()
        self._board.stop(run.folder)
        self._page.notice.show(sentence("runs.stopping", name=run.name))

    def _resume(self) -> None:
        run, steps = self._chosen(), wholeNumber(self._page.state.run_steps)
        self._board.resume(run.folder, steps=steps if steps != run.total else None)
        self._page.notice.show(sentence("runs.resumed", name=run.name))

    def _duplicate(self) -> None:
        run = self._chosen()
        self._new.copy(run.name, self._board.duplicate(run.folder))
        self._page.notice.show(sentence("runs.duplicated", name=run.name))

    def _delete(self) -> None:
        """Ask at the first call, delete at the second."""
        run, state = self._chosen(), self._page.state
        if state.run_asked != state.run_chosen:
            state.run_asked = state.run_chosen
            return
        state.run_asked = ""
        self._board.delete(run.folder)
        self._page.notice.show(sentence("runs.deleted", name=run.name))
        state.run_chosen = ""

    def _use(self) -> None:
        run = self._chosen()
        model = self._board.modelOf(run.folder)
        if model is None:
            raise MaesilError(sentence("runs.no-model"))
        self._onModel(run.name, model)
        code = "runs.uses-model" if givesVoxels(model) else "runs.features-use-model"
        self._page.notice.show(sentence(code, name=run.name))

    def _preview(self) -> None:
        run, step = self._chosen(), self._page.state.run_preview
        preview = next((one for one in self._previews if one.step == step), None)
        if preview is None:
            raise MaesilError(sentence("runs.no-preview"))
        self._onPreview(addPreview(self._page.session.scene, run.name, preview))
        code = "runs.previewed" if preview.hidden is not None else "runs.previewed-whole"
        self._page.notice.show(sentence(code, name=run.name, step=step))
