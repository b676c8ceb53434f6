"""A process that hosts one side of a comparison, so that its cost can be seen: `python -m twofold._compare.host`.

    {"alone": …}   loads the model, times one row; says what it is and what it holds
    {"serve": …}   is the parent of a server; answers {"count": true} and ends on {"stop": true}
    {"batch": …}   runs a batch over paths

Started by a `Worker`, whose death it does not survive.
"""

from __future__ import annotations

import os
from typing import Any

from twofold._supervisor import Channel, Message, error_to_message, worker_channel


def main() -> None:
    channel = worker_channel(starts_workers=True)
    ((side, task),) = channel.args.items()
    try:
        channel.send({"done": {"alone": _alone, "serve": _serve, "batch": _batch}[side](channel, task)})
    except BaseException as error:
        channel.send({"failed": error_to_message(error)})
        raise SystemExit(1) from None


def _alone(channel: Channel, task: Message) -> Message:  # noqa: ARG001
    """The model by itself: its facts, the median of a one-row call, the memory of a process that has it loaded."""
    from twofold._compare.usage import MEASURED, tree_memory_mb
    from twofold._model import ModelRef, load
    from twofold._profile import measure_calls_s, measure_one_row_s
    from twofold._runner import Runner

    model = load(ModelRef.from_json(task["model"]))
    runner = Runner(model)
    one_row_s = measure_one_row_s(runner, model.example)
    loaded_mb = tree_memory_mb(os.getpid()) if MEASURED else None
    return {
        "name": model.name,
        "version": model.version,
        "signature": model.signature.to_json(),
        "one_row_s": one_row_s,
        "loaded_mb": loaded_mb,
        "calls_s": [] if one_row_s is None else measure_calls_s(runner, model.example, one_row_s),
    }


def _serve(channel: Channel, task: Message) -> Message:
    from twofold._options import ServeOptions
    from twofold._realtime.server import Server

    server = Server(
        [("", task["model"])], ServeOptions(**task["options"]), lambda line: channel.send({"serving": line})
    )

    def take(message: Message) -> None:
        if "count" in message:
            channel.send({"counted": server.counted()})
        if "stop" in message:
            server.stop()

    channel.on_message = take
    return {"exit_code": server.run()}


def _batch(channel: Channel, task: Message) -> Message:  # noqa: ARG001
    from twofold._batch import run_batch
    from twofold._model import ModelRef
    from twofold._options import BatchOptions

    options: dict[str, Any] = task["options"]
    keep = options.pop("keep", None)
    report = run_batch(
        ModelRef.from_json(task["model"]),
        task["input"],
        task["output"],
        BatchOptions(keep=None if keep is None else tuple(keep), **options),
    )
    times = os.times()
    cpu_s = None if os.name == "nt" else times.user + times.system + times.children_user + times.children_system
    return {"report": report.to_json(), "cpu_s": cpu_s}


if __name__ == "__main__":
    main()
