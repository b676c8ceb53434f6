"""What a server process does: one Service for each model, and the protocols in front of them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twofold._options import ServeOptions
from twofold._profile import Profile
from twofold._realtime.backends import InlineBackend, WaitingBackend
from twofold._realtime.board import Board
from twofold._realtime.catalog import Catalog
from twofold._realtime.counters import Counters
from twofold._realtime.http.access import access_of
from twofold._realtime.http.server import serve_http
from twofold._realtime.learning import Learning
from twofold._realtime.leavable import LeavableBackend
from twofold._realtime.limits import Limits, limits_of
from twofold._realtime.listening import taken_over
from twofold._realtime.model_process import warm_up_calls
from twofold._realtime.observing import Observers
from twofold._realtime.service import Service
from twofold._runner import Runner
from twofold._signature import Signature
from twofold._supervisor import Channel, Message

__all__ = ["inline_service", "serve_models", "serve_protocols"]

BEAT_S: Final = 0.5


def inline_service(
    runner: Runner, name: str, limits: Limits, profile: Profile | None = None, counters: Counters | None = None
) -> Service:
    """The Service of a model that is loaded in this process."""
    model = runner.model
    backend = WaitingBackend(runner) if model.is_async or model.threads else InlineBackend(runner)
    return Service(
        model.signature,
        model.version,
        name,
        backend,
        limits=limits,
        example=model.example,
        profile=profile,
        counters=counters,
        streams=model.streams,
        chat=model.chat,
    )


class _Isolated:
    """The Service of a model that runs in model processes."""

    def __init__(self, entry: Message, token: str, limits: Limits, channel: Channel, counters: Counters | None) -> None:
        facts = entry["facts"]
        self._number = entry["number"]
        self._path = entry["path"]
        self._channel = channel
        self.joined = asyncio.Event()
        signature = Signature.from_json(facts["signature"])
        warm_up_calls(signature.input_schema)
        self.backend = LeavableBackend(
            signature.output_schema,
            token,
            on_count=self._count,
            on_hung=lambda pid: channel.send({"kill": pid}),
        )
        self.learning = Learning(facts["version"], isolated=True)
        example = facts["example"]
        self.service = Service(
            signature,
            facts["version"],
            entry["name"],
            self.backend,
            limits=limits,
            example=None if example is None else signature.decode_row(json.dumps(example).encode()),
            profile=self.learning.profile,
            counters=counters,
            streams=facts["streams"],
            chat=facts["chat"],
        )
        self.service.ready = False

    async def listen(self) -> None:
        """Let model processes join, and tell the parent where."""
        address = await self.backend.listen(self._path)
        self._channel.send({"address": {"number": self._number, **address}})

    def _count(self, processes: int) -> None:
        self.service.ready = processes > 0
        if processes:
            self.joined.set()


async def serve_models(channel: Channel, options: ServeOptions, runners: Mapping[int, Runner], told: Message) -> None:
    """Get everything ready, say "prepared", serve from when the parent says "accept" until it says "drain"."""
    limits = limits_of(options)
    services: list[Service] = []
    isolated: list[_Isolated] = []
    learning: list[Learning] = []
    board = Board(told["board"], len(told["models"])) if "board" in told else None
    for entry in told["models"]:
        counters = None if board is None else Counters(board.cells(told["slot"], entry["number"]))
        if "facts" in entry:
            isolated.append(_Isolated(entry, told["token"], limits, channel, counters))
            services.append(isolated[-1].service)
            learning.append(isolated[-1].learning)
        else:
            runner = runners[entry["number"]]
            learning.append(Learning(runner.model.version, entry.get("one_row_s")))
            services.append(inline_service(runner, entry["name"], limits, learning[-1].profile, counters))
    catalog = Catalog(services, board)
    observers = Observers(options, services)
    accept, stop = asyncio.Event(), asyncio.Event()
    channel.on_message = _listener(catalog, isolated, accept, stop)
    _beat(channel, catalog)
    try:
        for model in isolated:
            await model.listen()
        for model in isolated:
            await model.joined.wait()
        channel.send({"prepared": True})
        await accept.wait()
        for entry, learns, service in zip(told["models"], learning, services, strict=True):
            learns.begin(service, lambda _, number=entry["number"]: channel.send({"slow": number}))  # type: ignore[misc]
        sockets = {name: taken_over(passed) for name, passed in told["sockets"].items()}
        share = None if board is None else (board, told["slot"])
        await serve_protocols(
            catalog,
            sockets,
            options,
            observers,
            stop=stop,
            on_ready=lambda: channel.send({"serving": True}),
            share=share,
        )
    finally:
        observers.close()
        for learns in learning:
            learns.end()
        channel.on_message = None
        for model in isolated:
            await model.backend.close()
        channel.send({"over": True})


async def serve_protocols(
    catalog: Catalog,
    sockets: Mapping[str, socket.socket],
    options: ServeOptions,
    observers: Observers,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    share: tuple[Board, int] | None = None,
) -> None:
    """Serve over HTTP, and over gRPC where there is a socket for it, until `stop` is set; then drain."""
    access, drain_s = access_of(options), options.drain_timeout_s
    around = observers.around
    http = serve_http(
        catalog, sockets, stop=stop, on_ready=on_ready, drain_s=drain_s, access=access, share=share, around=around
    )
    if "grpc" not in sockets:
        await http
        return
    from twofold._realtime.grpc.server import serve_grpc

    async with asyncio.TaskGroup() as group:
        of_grpc = serve_grpc(
            catalog,
            sockets["grpc"],
            stop=stop,
            drain_s=drain_s,
            access=access,
            share=share,
            access_log=observers.access_log,
        )
        group.create_task(of_grpc)
        group.create_task(http)


def _listener(
    catalog: Catalog, isolated: Sequence[_Isolated], accept: asyncio.Event, stop: asyncio.Event
) -> Callable[[Message], None]:
    loop = asyncio.get_running_loop()

    def take(message: Message) -> None:
        if "accept" in message:
            accept.set()
        if "unready" in message or "drain" in message:
            catalog.draining = True
        if "drain" in message:
            stop.set()
            for model in isolated if message["hand_over"] else ():
                model.backend.hand_over()
        if "release" in message:
            for model in isolated:
                model.backend.release(message["release"])

    def take_soon(message: Message) -> None:
        loop.call_soon_threadsafe(take, message)

    return take_soon


def _beat(channel: Channel, catalog: Catalog) -> None:
    """Tell the parent now and then that this loop runs, and what it has counted."""
    counted = [service.counted for service in catalog.values()]
    channel.send({"beat": {name: sum(each[name] for each in counted) for name in ("calls", "rows")}})
    asyncio.get_running_loop().call_later(BEAT_S, _beat, channel, catalog)
