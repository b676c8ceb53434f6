"""`twofold stream`: one model, loaded in this process, between a source and a sink."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from twofold._errors import UsageError
from twofold._options import StreamOptions
from twofold._stream.counts import Counts, serve_metrics
from twofold._stream.places import dead_letter_place, open_sink, open_source
from twofold._stream.run import answer_messages

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["run_stream"]


def run_stream(model: Model, source: str, sink: str, options: StreamOptions) -> dict[str, Any]:
    """Answer messages until the source ends, or SIGTERM or Ctrl-C; gives what was done."""
    from twofold._runner import Runner

    if model.signature.outputs and model.streams:
        raise UsageError(f"{model.name} yields its answers piece by piece: a stream of messages has whole answers.")
    runner, counts = Runner(model), Counts()
    dead = options.dead_letters or dead_letter_place(sink)
    with ExitStack() as stack:
        stopping = stack.enter_context(_signals())
        opened = open_source(source)
        stack.callback(opened.close)
        answers = open_sink(sink)
        stack.callback(answers.close)
        letters = open_sink(dead, "--dead-letters", lines_to=2)
        stack.callback(letters.close)
        if options.metrics_port is not None:
            port, close = serve_metrics(counts, options.metrics_port)
            stack.callback(close)
            print(f"Metrics at http://127.0.0.1:{port}/metrics", file=sys.stderr, flush=True)
        answer_messages(model.signature, runner.run, opened, answers, letters, options, counts, stopping)
    return counts.to_json()


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGTERM or Ctrl-C came; a second one ends at once."""
    came: list[int] = []

    def take(number: int, _: object) -> None:
        came.append(number)
        for each in before:
            signal.signal(each, signal.SIG_DFL)

    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
