"""Small frozen option objects. Units are in the names; a default here is the default everywhere."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from twofold._errors import UsageError

__all__ = ["BatchOptions", "CompareOptions", "ServeOptions", "StreamOptions", "options_of"]

Options = TypeVar("Options", "BatchOptions", "CompareOptions", "ServeOptions")


def options_of(kind: type[Options], call: str, settings: Mapping[str, Any]) -> Options:
    """The keyword arguments of `call` as options. Raises UsageError for one that is none, naming the right one."""
    names = [f.name for f in fields(kind)]
    for name in settings:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Its settings are {', '.join(names)}."
            raise UsageError(f"{call} has no setting {name!r}. {hint}", setting=name)
    return kind(**settings)


@dataclass(frozen=True)
class BatchOptions:
    """How a batch runs. `map`, `keep`, `rename`, `limit_rows`, `where`, `batch_rows`, `split_rows` and `unsorted` shape
    the output: a run that has begun goes on with the same ones only. The others may change from one start to the next.

    `workers`: rows are computed at this many places at once (None: as many as help). `batch_rows`: rows a model call
    sees at most (None: chosen from what calls cost). `unsorted`: a call's rows are neighbours in the file (else rows
    of like length share a call where that is cheaper). `split_rows`: rows of a part (None: chosen from the cost of a
    row). `map`: field -> column, or a range of columns `f0..f29`. `keep`: the input's columns that the output has
    (None: all). `rename`: name of an answer -> its column. `where`: only rows
    that pass, "amount > 0 and country = 'DE'". `input_format`: what standard input holds, "jsonl" (None), "csv" or
    "arrow". `max_bad_rows`: "100" or "0.5%" (None: any number, and exit code 3 if there are some).
    `quarantine`: the file for rows without an answer (None: beside the output). `key`: the
    columns that name a row of a table, whose rows are then updated. `state`: a folder for what must lie on this machine
    while the output does not. `output_format`: what goes to standard output: jsonl (None), csv or arrow.
    `row_timeout_s`: a model call may take so much longer than calls of its size usually do; a row that does so alone is
    given up. `memory_bytes`: what all processes of the run may hold together (None: rows in hand are bounded, the
    model is not). `priority`: "idle" computes when nothing else does. `events`: a file to which what happens is added
    as JSON lines ("-": standard output). `in_process`: the splits are computed in this process, one after the other.
    `executor`: where splits are computed, "local" or "ray". `address`: of the Ray cluster, HOST:6379 (None:
    RAY_ADDRESS, or this machine's).
    """

    workers: int | None = None
    batch_rows: int | None = None
    split_rows: int | None = None
    map: dict[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] | None = None
    rename: dict[str, str] = field(default_factory=dict)
    limit_rows: int | None = None
    where: str | None = None
    input_format: str | None = None
    max_bad_rows: str | int | None = None
    overwrite: bool = False
    quarantine: str | None = None
    key: tuple[str, ...] = ()
    state: str = ".twofold/runs"
    output_format: str | None = None
    row_timeout_s: float = 300.0
    unsorted: bool = False
    memory_bytes: int | None = None
    priority: str = "normal"
    events: str | None = None
    in_process: bool = False
    executor: Literal["local", "ray"] = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in ("local", "ray"):
            raise UsageError(f"executor is 'local' or 'ray', and {self.executor!r} was given.")
        if self.address is not None and self.executor != "ray":
            raise UsageError("address is that of a Ray cluster, and is for --executor ray alone.")
        if self.memory_bytes is not None and self.executor == "ray":
            raise UsageError("--memory is what one machine may hold, and is for --executor local alone.")
        if self.in_process and (self.executor != "local" or (self.workers or 1) > 1):
            raise UsageError("--in-process computes in this process alone: leave out --workers and --executor.")
        for name in ("workers", "batch_rows", "split_rows", "limit_rows", "row_timeout_s", "memory_bytes"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise UsageError(f"{name} must be more than 0, and {given} was given.")
        if self.priority not in ("normal", "idle"):
            raise UsageError(f"priority is 'normal' or 'idle', and {self.priority!r} was given.")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, of whatever address
        return False


@dataclass(frozen=True)
class ServeOptions:
    """How a model is served.

    `port` 0: a free one. `workers`: server processes, or model processes (None: one a core; one for a model that
    waits, so that its `concurrency` is the whole server's). `layout`: "inline" computes in the server processes,
    "isolate" in model processes beside one server process, "auto" measures one row and chooses. `deadline_s`: a row
    that is not answered by then is given up. `max_body_bytes`: of one request. `batch_rows`: rows a model call sees at
    most. `max_streams`: answers in pieces that are open at once. `reload`: load a model again when one of its files
    has changed. `drain_delay_s`: how long a server that was told to stop goes on accepting, not ready any more;
    `drain_timeout_s`: how long it then answers what is in flight. `grpc_port`, `metrics_port`: None: not there; 0: a
    free one. `loop`: the event loop; "auto" takes uvloop where it is installed. `api_keys`: who sends one of them
    may ask (none: everybody; refused for a `host` that other machines can reach, unless `no_auth`). `cors_origins`:
    pages of these origins may ask from a browser. `tls_certificate` and `tls_key`: PEM files, to serve HTTPS.
    `access_log`: a line for each request; `log_json`: all lines as JSON; `log_level`: the least that is shown of what
    the model and its libraries log. `log_predictions`: the share of the answered rows, 0 to 1, that is kept in Parquet
    files in `log_folder`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int | None = None
    layout: Literal["auto", "inline", "isolate"] = "auto"
    deadline_s: float = 30.0
    max_body_bytes: int = 32 << 20
    batch_rows: int = 1024
    max_streams: int = 64
    reload: bool = False
    drain_delay_s: float = 0.0
    drain_timeout_s: float = 30.0
    grpc_port: int | None = None
    metrics_port: int | None = None
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    api_keys: Sequence[str] = field(default=(), repr=False)
    no_auth: bool = False
    cors_origins: Sequence[str] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    access_log: bool = False
    log_json: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_predictions: float = 0.0
    log_folder: str = "twofold-predictions"

    def __post_init__(self) -> None:
        if not (self.api_keys or self.no_auth or _is_loopback(self.host)):
            raise UsageError(
                f"{self.host} can be reached from other machines, so that a key is needed: set TWOFOLD_API_KEY, or "
                "give a file of keys with --api-key. Where anybody may ask, or others cannot reach it: --no-auth.",
                host=self.host,
            )
        if isinstance(self.api_keys, str) or isinstance(self.cors_origins, str):
            raise UsageError('api_keys and cors_origins are lists: api_keys=["…"].')
        if self.api_keys and self.no_auth:
            raise UsageError(
                "A key and --no-auth exclude each other: leave --no-auth away, or the key (--api-key, TWOFOLD_API_KEY)."
            )
        for origin in self.cors_origins:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", origin):
                raise UsageError(
                    f"{origin!r} is not the origin of a page. One looks like https://shop.example, or "
                    "http://localhost:3000: as browsers send it, without a path; * is any."
                )
        ports = [port for port in self.ports.values() if port]
        if len(set(ports)) < len(ports):
            raise UsageError("HTTP, gRPC and metrics need ports of their own, and two of them have the same one.")
        if self.tls_key is not None and self.tls_certificate is None:
            raise UsageError("A private key for TLS belongs to a certificate: give that too (--tls-certificate).")
        for port in (self.port, self.grpc_port, self.metrics_port):
            if port is not None and not 0 <= port <= 65535:
                raise UsageError(f"A port must lie between 0 and 65535 (0 picks a free one), and {port} was given.")
        for name in ("workers", "deadline_s", "max_body_bytes", "batch_rows", "max_streams", "drain_timeout_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be more than 0, and {value} was given.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise UsageError(f"log_level is debug, info, warning or error, and {self.log_level!r} was given.")
        if not 0 <= self.log_predictions <= 1:
            raise UsageError(
                f"log_predictions is a share of the rows, from 0 to 1, and {self.log_predictions} was given."
            )
        if not self.drain_delay_s >= 0:
            raise UsageError(f"drain_delay_s must be at least 0, and {self.drain_delay_s} was given.")

    @property
    def ports(self) -> dict[str, int]:
        """The ports to listen on, by what is spoken there."""
        named = {"http": self.port, "grpc": self.grpc_port, "metrics": self.metrics_port}
        return {name: port for name, port in named.items() if port is not None}


@dataclass(frozen=True)
class StreamOptions:
    """How messages are answered.

    `keep`: only these fields of a message are in its answer (None: all). `rename`: an output -> its name in the answer.
    `dead_letters`: where messages without an answer go (None: beside the sink). `batch_rows`: messages a model call
    sees at most. `drain_timeout_s`: how long a stream that was told to stop finishes what is in flight.
    `metrics_port`: where /metrics is shown (None: nowhere; 0: a free one).
    """

    keep: Sequence[str] | None = None
    rename: dict[str, str] = field(default_factory=dict)
    dead_letters: str | None = None
    batch_rows: int = 1024
    drain_timeout_s: float = 30.0
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_rows", "drain_timeout_s"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} must be more than 0, and {value} was given.")


@dataclass(frozen=True)
class CompareOptions:
    """How the two modes are compared.

    `limit_rows`: the first rows of the input, both modes answer them. `connections` and `min_seconds`: of the
    throughput measurement. `workers` and `map`: as for `serve` and `batch`. `deadline_s`: of the server. `p99_s`: seek
    the highest rate of a Poisson stream of which 99 % are answered within (None: do not). `core_hour`: the price of a
    core for an hour, in any currency (None: no prices). `rows_per_day`: for the prices (None: the rows compared).
    """

    limit_rows: int = 10_000
    connections: int = 64
    min_seconds: float = 3.0
    workers: int | None = None
    map: dict[str, str] = field(default_factory=dict)
    deadline_s: float = 30.0
    p99_s: float | None = None
    core_hour: float | None = None
    rows_per_day: float | None = None

    def __post_init__(self) -> None:
        for name in ("limit_rows", "connections", "min_seconds", "workers", "deadline_s", "p99_s", "rows_per_day"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be more than 0, and {value} was given.")
