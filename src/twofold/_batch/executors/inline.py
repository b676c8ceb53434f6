"""Splits in the calling process, one after the other: for tests, and to step through with a debugger."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twofold._batch.answer import Runs
from twofold._batch.executors.base import Measured, ModelFacts, Tracker, facts_of
from twofold._batch.probe import measure
from twofold._batch.split import Lane
from twofold._batch.work import SplitTask, Work
from twofold._errors import RunStopped
from twofold._model import Model, ModelRef
from twofold._runner import Runner

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Computes with a model that is loaded here. A hanging call hangs, a model that ends its process ends this one.

    `probes`: rows are tried before the run, to choose how many a call gets; each comes to the model more than once.
    """

    def __init__(self, model: Model, *, probes: bool = True) -> None:
        self._model = model
        self._probes = probes
        self.model_calls = 0

    def close(self) -> None:
        pass

    def facts(self) -> ModelFacts:
        return ModelFacts.of(facts_of(self._model), self._model.ref or ModelRef(self._model.name))

    def room(self) -> int | None:
        return None

    def places_for(self, n_splits: int) -> int:  # noqa: ARG002
        return 1

    def probe(self, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
        return measure(self._model, work, task, n_rows) if self._probes else None

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        reports: list[dict[str, Any]] = []
        lane = Lane(work, Runner(self._model), _Watch(self, tracker))
        for task in tasks:
            lane.run([task], reports.append)
            tracker.done(reports[-1])


class _Watch:
    def __init__(self, executor: InlineExecutor, tracker: Tracker) -> None:
        self._executor = executor
        self._tracker = tracker
        self._begun = -1

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        if any(reason.endswith(" BdbQuit") for reason in reasons):
            raise RunStopped("the debugger was left, so the run was stopped; start the same command again to go on.")
        self._tracker.called(index, n_rows, n_failed, reasons, first)

    def calling(self, index: int, rows: Runs, expected_s: float) -> None:  # noqa: ARG002
        self._executor.model_calls += 1
        if index != self._begun:
            self._begun = index
            self._tracker.began(index, str(os.getpid()))
