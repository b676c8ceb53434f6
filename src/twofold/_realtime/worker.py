"""A process of `serve`: `python -m twofold._realtime.worker`, started by `server`.

role "model"   loads the model, times one row, says "ready"; then the parent says what it becomes:
               "serve"  a server process that computes inline
               "join"   a model process, which answers the calls of the front
role "front"   the server process beside model processes; it knows the Signature only
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twofold._light import import_pyarrow
from twofold._options import ServeOptions
from twofold._supervisor import Channel, Message, error_to_message, spare_collector, worker_channel

__all__ = ["BEAT_S"]

BEAT_S: Final = 0.5


def main() -> None:
    channel = worker_channel()
    import_pyarrow()
    options = ServeOptions(**channel.args["options"])
    for fd in channel.args["fds"]:  # ours, not of what the model may start
        os.set_inheritable(fd, False)
    if channel.args["role"] == "front":
        _run(_front(channel, options), options)
    else:
        _model(channel, options)


def _model(channel: Channel, options: ServeOptions) -> None:
    try:
        runner, facts = _load(channel.args["model"])
    except BaseException as error:
        channel.send({"failed": error_to_message(error)})
        raise SystemExit(1) from None
    channel.send({"loaded": facts})
    channel.send({"ready": _one_row_s(runner) if channel.args["warm_up"] else None})
    inherited = channel.args["fds"]
    while True:
        message = channel.receive()
        if "serve" in message:
            _run(_serve(channel, options, runner, message["serve"]), options)
            return
        if "join" in message:
            from twofold._realtime.model_process import answer_calls, warm_up_answers

            warm_up_answers(runner.signature.output_schema)
            spare_collector()
            while inherited:  # a model process must not keep the port open
                os.close(inherited.pop())
            answer_calls(runner, message["join"], joined=lambda: channel.send({"joined": True}))
        if "end" in message:
            return


def _load(reference: Message) -> tuple[Any, Message]:
    """The Runner, and what the parent and a front need to know of its model."""
    from twofold._model import ModelRef, load
    from twofold._runner import Runner

    model = load(ModelRef.from_json(reference))
    runner = Runner(model)
    signature = model.signature
    example = None if model.example is None else signature.json_row(signature.inputs, model.example)
    return runner, {
        "name": model.name,
        "version": model.version,
        "signature": signature.to_json(),
        "example": example,
        "waits": model.is_async or bool(model.threads),
    }


def _one_row_s(runner: Any) -> float | None:
    from twofold._profile import measure_one_row_s

    return measure_one_row_s(runner, runner.model.example)


async def _serve(channel: Channel, options: ServeOptions, runner: Any, passed: Message) -> None:
    """Be a server process that computes in its own event loop."""
    from twofold._realtime.backends import InlineBackend, WaitingBackend
    from twofold._realtime.limits import limits_of
    from twofold._realtime.service import Service

    model = runner.model
    waits = model.is_async or model.threads
    service = Service(
        model.signature,
        model.version,
        model.name,
        WaitingBackend(runner) if waits else InlineBackend(runner),
        limits=limits_of(options),
        example=model.example,
    )
    ready = asyncio.Event()
    ready.set()
    await _serve_until_drained(channel, service, passed, ready)


async def _front(channel: Channel, options: ServeOptions) -> None:
    """Be the server process beside model processes; serve as soon as one of them has joined."""
    from twofold._realtime.limits import limits_of
    from twofold._realtime.model_process import ProcessBackend, warm_up_calls
    from twofold._realtime.service import Service
    from twofold._signature import Signature

    facts = channel.receive()["front"]
    signature = Signature.from_json(facts["signature"])
    warm_up_calls(signature.input_schema)
    there = asyncio.Event()

    def on_count(processes: int) -> None:
        service.ready = processes > 0
        if processes:
            there.set()

    backend = ProcessBackend(
        signature.output_schema,
        facts["token"],
        on_count=on_count,
        on_hung=lambda pid: channel.send({"kill": pid}),
    )
    example = facts["example"]
    service = Service(
        signature,
        facts["version"],
        facts["name"],
        backend,
        limits=limits_of(options),
        example=None if example is None else signature.decode_row(json.dumps(example).encode()),
    )
    channel.send({"address": await backend.listen(facts["path"])})
    try:
        await _serve_until_drained(channel, service, facts["socket"], there)
    finally:
        await backend.close()


async def _serve_until_drained(channel: Channel, service: Any, passed: Message, wait_for: asyncio.Event) -> None:
    from twofold._realtime.board import Board
    from twofold._realtime.catalog import Catalog
    from twofold._realtime.http.server import serve_http

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def take(message: Message) -> None:
        if "drain" in message:
            service.draining = True
            stop.set()

    def beat() -> None:
        channel.send({"beat": service.counted})
        loop.call_later(BEAT_S, beat)

    def take_soon(message: Message) -> None:
        loop.call_soon_threadsafe(take, message)

    channel.on_message = take_soon
    try:
        beat()
        await wait_for.wait()
        await serve_http(
            Catalog([service]),
            {"http": _socket(passed)},
            stop=stop,
            on_ready=lambda: channel.send({"serving": True}),
            drain_s=service.limits.deadline_s,
            share=(Board(passed["board"]), passed["slot"]) if "board" in passed else None,
        )
    finally:
        channel.on_message = None


def _run(work: Coroutine[Any, Any, None], options: ServeOptions) -> None:
    spare_collector()
    with asyncio.Runner(loop_factory=_loop_factory(options.loop)) as runner:
        runner.run(work)


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


def _socket(passed: Message) -> socket.socket:
    """The listening socket that the parent handed over: by inheritance, or shared with our process on Windows."""
    if "fd" in passed:
        return socket.socket(fileno=passed["fd"])
    share: Callable[[bytes], socket.socket] = getattr(socket, "fromshare")  # noqa: B009 (Windows only)
    return share(base64.b64decode(passed["share"]))


if __name__ == "__main__":
    main()
