"""A process of `serve`: `python -m twofold._realtime.worker`, started by `server`.

It loads the models that it is told to, checks and warms them up, and says when it is ready. Then the parent says what
it becomes:

    "serve"  a server process, which accepts connections; it computes what it has loaded, and asks model processes
             for the rest
    "join"   a model process, which answers the calls of a server process
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twofold._errors import ModelError
from twofold._light import import_pyarrow
from twofold._options import ServeOptions
from twofold._realtime.logs import set_up
from twofold._supervisor import Channel, Message, error_to_message, spare_collector, worker_channel

if TYPE_CHECKING:
    from twofold._runner import Runner


def main() -> None:
    channel = worker_channel()
    import_pyarrow()
    options = ServeOptions(**channel.args["options"])
    set_up(options)
    for fd in channel.args["fds"]:  # ours, not of what the model may start
        os.set_inheritable(fd, False)
    runners: dict[int, Runner] = {}
    _load(channel, channel.args["load"], runners)
    while True:
        message = channel.receive()
        if "load" in message:
            _load(channel, message["load"], runners)
        elif "serve" in message:
            _serve(channel, options, runners, message["serve"])
            return
        elif "join" in message:
            (runner,) = runners.values()
            _join(channel, runner, message["join"])
        elif "end" in message:
            return


def _load(channel: Channel, numbers: Sequence[int], runners: dict[int, Runner]) -> None:
    """Load these models, or say what is wrong with them and end."""
    args = channel.args
    for number in numbers:
        try:
            before = next((facts for facts in args["before"] if facts["number"] == number), None)
            runner, facts = _loaded(number, args["models"][number], before)
            channel.send({"loaded": facts})
            warm = number in args["warm_up"]
            one_row_s = _first_rows_s(runner) if warm else None
            channel.send({"measured": {"number": number, "one_row_s": one_row_s}})
        except BaseException as error:
            channel.send({"failed": error_to_message(error)})
            raise SystemExit(1) from None
        runners[number] = runner
    channel.send({"ready": list(runners)})


def _loaded(number: int, named: Message, before: Message | None) -> tuple[Runner, Message]:
    """The Runner of a model, and what others need to know of it. `before`: what it was, and may not break."""
    from twofold._model import ModelRef, load
    from twofold._realtime.watching import stamp_of
    from twofold._runner import Runner

    model = load(ModelRef.from_json(named["ref"]))
    signature = model.signature
    if before is not None and before["version"] != model.version:
        _check_compatible(model.name, before, signature)
    return Runner(model), {
        "number": number,
        "name": named["name"] or model.name,
        "version": model.version,
        "signature": signature.to_json(),
        "example": None if model.example is None else signature.json_row(signature.inputs, model.example),
        "waits": model.is_async or bool(model.threads),
        "streams": model.streams,
        "chat": model.chat,
        "files": {str(file): stamp_of(str(file)) for file in model.files},
    }


def _check_compatible(name: str, before: Message, signature: Any) -> None:
    from twofold._signature import Signature, broken_promises

    broken = broken_promises(Signature.from_json(before["signature"]), signature)
    if broken:
        raise ModelError(
            f"the new version of {name} does not keep the signature of version {before['version']}: "
            f"{'; '.join(broken)}. Restart the server to serve it.",
            broken=broken,
        )


def _first_rows_s(runner: Runner) -> float | None:
    """Seconds of a one-row call, after a warm-up. Raises ModelError for an example that is not answered."""
    from twofold._columns import Batch
    from twofold._profile import measure_one_row_s
    from twofold._realtime.learning import seconds_to_lay_out_by

    model = runner.model
    if model.example is not None:
        result = runner.run(Batch.from_rows(model.signature.input_schema, [model.example]))
        if result.failures:
            failure = result.failures[0]
            raise ModelError(
                f"The model {model.name} fails on its own example: {failure.message}. "
                "Mend the model, or correct example= in its @twofold.model."
            )
    return seconds_to_lay_out_by(model.version, measure_one_row_s(runner, model.example))


def _join(channel: Channel, runner: Runner, address: Message) -> None:
    from twofold._realtime.model_process import answer_calls, warm_up_answers

    warm_up_answers(runner.signature.output_schema)
    spare_collector()
    inherited = channel.args["fds"]
    while inherited:  # a model process must not keep the port open
        os.close(inherited.pop())
    answer_calls(runner, address, joined=lambda: channel.send({"joined": True}))


def _serve(channel: Channel, options: ServeOptions, runners: dict[int, Runner], told: Message) -> None:
    from twofold._realtime.serving import serve_models

    spare_collector()
    with asyncio.Runner(loop_factory=_loop_factory(options.loop)) as loop:
        loop.run(serve_models(channel, options, runners, told))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    main()
