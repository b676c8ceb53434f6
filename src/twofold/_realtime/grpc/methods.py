"""What the gRPC port answers: inference.GRPCInferenceService and grpc.health.v1.Health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from google.protobuf.message import DecodeError

from twofold._realtime.batcher import Ticket
from twofold._realtime.catalog import Catalog
from twofold._realtime.grpc.calls import INVALID_ARGUMENT, Call, Method, Unit
from twofold._realtime.grpc.infer import Infer
from twofold._realtime.grpc.messages import HEALTH, INFERENCE, Message, message_class
from twofold._realtime.oip.errors import OipError
from twofold._realtime.oip.model import OipModel, server_metadata
from twofold._version import __version__

__all__ = ["methods_of"]

SERVICE: Final = f"{INFERENCE}.GRPCInferenceService"
UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)
NOT_FOUND: Final = 5
WATCHED_EVERY_S: Final = 1.0

Handler = Callable[[Message], dict[str, Any]]
"""A request message -> the fields of the answer. Raises OipError."""


def methods_of(catalog: Catalog) -> dict[bytes, Method]:
    """The methods, by the path of a call."""
    models = {name: OipModel(service) for name, service in catalog.items()}

    def named(request: Message) -> OipModel:
        found = models.get(request.name)
        if found is None:
            listed = ", ".join(models)
            raise OipError("not_found", f"There is no model {request.name[:100]!r}. The models here are {listed}.")
        found.check_version(request.version)
        return found

    def ready(request: Message) -> bool:
        """A model that is not there is not ready: no error, as clients' `is_model_ready` expects."""
        try:
            return named(request).service.accepting
        except OipError:
            return False

    handlers: dict[str, Handler] = {
        "ServerLive": lambda _: {"live": True},
        "ServerReady": lambda _: {"ready": catalog.accepting},
        "ModelReady": lambda request: {"ready": ready(request)},
        "ServerMetadata": lambda _: server_metadata(__version__, ()),
        "ModelMetadata": lambda request: named(request).metadata,
    }
    methods: dict[bytes, Method] = {
        f"/{SERVICE}/{name}".encode(): partial(_answer, _Messages(name), handler) for name, handler in handlers.items()
    }
    methods[f"/{SERVICE}/ModelInfer".encode()] = Infer(models)
    methods[f"/{HEALTH}.Health/Check".encode()] = partial(_check, catalog)
    methods[f"/{HEALTH}.Health/Watch".encode()] = partial(_watch, catalog)
    return methods


class _Messages:
    """The two messages of a method."""

    def __init__(self, name: str) -> None:
        self.request = message_class(f"{name}Request")
        self.response = message_class(f"{name}Response")


def _answer(messages: _Messages, handler: Handler, message: bytes, unit: Unit, _: float | None) -> Ticket | None:
    try:
        unit.succeed(messages.response(**handler(messages.request.FromString(message))).SerializeToString())
    except DecodeError:
        unit.fail(INVALID_ARGUMENT, f"The message is no {messages.request.DESCRIPTOR.full_name}.")
    except OipError as error:
        unit.fail(error.grpc_code, str(error))
    return None


# ---- health

_HealthRequest: Final = message_class("HealthCheckRequest", HEALTH)
_HealthResponse: Final = message_class("HealthCheckResponse", HEALTH)


def _status(catalog: Catalog, service: str) -> int:
    if service not in ("", SERVICE):
        return SERVICE_UNKNOWN
    return SERVING if catalog.accepting else NOT_SERVING


def _service_named(message: bytes, unit: Unit) -> str | None:
    try:
        return str(_HealthRequest.FromString(message).service)
    except DecodeError:
        unit.fail(INVALID_ARGUMENT, "The message is no grpc.health.v1.HealthCheckRequest.")
        return None


def _check(catalog: Catalog, message: bytes, unit: Unit, _: float | None) -> Ticket | None:
    service = _service_named(message, unit)
    if service is None:
        return None
    status = _status(catalog, service)
    if status == SERVICE_UNKNOWN:
        unit.fail(NOT_FOUND, f"There is no service {service[:100]!r}.")
    else:
        unit.succeed(_HealthResponse(status=status).SerializeToString())
    return None


def _watch(catalog: Catalog, message: bytes, unit: Unit, _: float | None) -> Ticket | None:
    service = _service_named(message, unit)
    if service is not None:
        assert isinstance(unit, Call)
        _Watch(catalog, service, unit).look()
    return None


class _Watch:
    """Tells a caller the status now, and again whenever it has changed, until the caller or the server ends."""

    def __init__(self, catalog: Catalog, service: str, call: Call) -> None:
        self._catalog = catalog
        self._service = service
        self._call = call
        self._told: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        call.cancelled = self._cancel

    def look(self) -> None:
        status = _status(self._catalog, self._service)
        if status != self._told:
            first, self._told = self._told is None, status
            answer = _HealthResponse(status=status).SerializeToString()
            self._call.connection.send(self._call, answer, first=first)
        self._timer = asyncio.get_running_loop().call_later(WATCHED_EVERY_S, self.look)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
