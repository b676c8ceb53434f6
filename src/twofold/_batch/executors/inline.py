"""Splits in the calling process, one after the other: for tests, and to step through with a debugger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold._batch.answer import Runs
from twofold._batch.executors.base import Measured, ModelFacts, Tracker, facts_of
from twofold._batch.probe import measure
from twofold._batch.split import Lane
from twofold._batch.work import SplitTask, Work
from twofold._model import Model, ModelRef
from twofold._runner import Runner

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Computes with a model that is loaded here. A hanging call hangs, a model that ends its process ends this one."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.model_calls = 0

    def close(self) -> None:
        pass

    def facts(self) -> ModelFacts:
        return ModelFacts.of(facts_of(self._model), self._model.ref or ModelRef(self._model.name))

    def room(self) -> int | None:
        return None

    def probe(self, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
        return measure(self._model, work, task, n_rows)

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        reports: list[dict[str, Any]] = []
        lane = Lane(work, Runner(self._model), _Watch(self, tracker))
        for task in tasks:
            lane.run([task], reports.append)
            tracker.done(reports[-1])


class _Watch:
    def __init__(self, executor: InlineExecutor, tracker: Tracker) -> None:
        self._executor = executor
        self.called = tracker.called

    def calling(self, index: int, rows: Runs, expected_s: float) -> None:  # noqa: ARG002
        self._executor.model_calls += 1
