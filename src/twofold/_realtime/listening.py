"""The listening socket of `serve`: bound by the parent, inherited by the server processes."""

from __future__ import annotations

import base64
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from twofold._errors import UsageError
from twofold._options import ServeOptions
from twofold._supervisor import Message, Worker

__all__ = ["Sockets", "hand_over", "taken_over"]

BACKLOG: Final = 2048


class Sockets(Mapping[str, socket.socket]):
    """The sockets of one server, bound: by what is spoken there, "http", "grpc", "metrics"."""

    def __init__(self, options: ServeOptions) -> None:
        """Raises UsageError for an address that cannot be had, with what to change, and for a certificate that cannot
        be used."""
        _check_tls(options)
        self._options = options
        self._found: dict[str, socket.socket] = {}
        try:
            for name, port in options.ports.items():
                self._found[name] = _bind(options.host, port, _option_of(name))
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> socket.socket:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def listen(self) -> None:
        """From here on connections wait until somebody accepts them. Raises UsageError."""
        options = self._options
        for name, listening in self._found.items():
            try:
                listening.listen(BACKLOG)
            except OSError as error:  # bound twice, and the other one was first
                raise _refusal(error, options.host, options.ports[name], _option_of(name)) from error

    def close(self) -> None:
        for listening in self._found.values():
            listening.close()

    @property
    def url(self) -> str:
        """http://host:port. To be asked before they are closed, as the next."""
        scheme = "http" if self._options.tls_certificate is None else "https"
        return f"{scheme}://{self._address('http')}"

    @property
    def grpc_address(self) -> str | None:
        """host:port of the gRPC port, where there is one."""
        return self._address("grpc") if "grpc" in self._found else None

    def _address(self, name: str) -> str:
        """host:port, with the port that was picked where 0 was asked for."""
        host = self._options.host
        shown = f"[{host}]" if ":" in host else host
        return f"{shown}:{self._found[name].getsockname()[1]}"


def hand_over(listening: socket.socket, worker: Worker) -> Message:
    """What tells a worker which socket is meant: one it inherited, or on Windows one shared with it now."""
    if os.name == "posix":
        return {"fd": listening.fileno()}
    share: bytes = listening.share(worker.pid)  # type: ignore[attr-defined,unused-ignore]
    return {"share": base64.b64encode(share).decode()}


def taken_over(passed: Message) -> socket.socket:
    """In a worker: the listening socket that the parent handed over."""
    if "fd" in passed:
        return socket.socket(fileno=passed["fd"])
    share: Callable[[bytes], socket.socket] = getattr(socket, "fromshare")  # noqa: B009 (Windows only)
    return share(base64.b64decode(passed["share"]))


def _bind(host: str, port: int, option: str) -> socket.socket:
    """A socket bound to this address, not listening yet. Raises UsageError with what to change."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"The host {host!r} cannot be resolved: {error}. Choose another one with --host.") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows it would mean: share the port with whoever has it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise _refusal(error, host, port, option) from error
    return listening


def _refusal(error: OSError, host: str, port: int, option: str) -> UsageError:
    """Why this address cannot be had, and what to do; `option` is the one that chooses the port."""
    where = f"Port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        text = f"{where} is in use by another program. Choose another one with {option} ({option} 0 picks a free one)."
    elif error.errno == errno.EACCES:
        text = f"{where} needs rights that this user does not have. Choose a port from 1024 up with {option}."
    elif error.errno == errno.EADDRNOTAVAIL:
        text = f"{host} is not an address of this machine. Choose another one with --host."
    else:
        text = f"{where} cannot be listened on: {error.strerror}. Choose another one with --host and {option}."
    return UsageError(text, host=host, port=port)


def _option_of(name: str) -> str:
    """The option that chooses the port of a socket."""
    return "--port" if name == "http" else f"--{name}-port"


def _check_tls(options: ServeOptions) -> None:
    """Raises UsageError where the certificate and its key are no pair that can be used."""
    if options.tls_certificate is None:
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_certificate, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(name for name in (options.tls_certificate, options.tls_key) if name)
        raise UsageError(
            f"{files} cannot be used for TLS: {error}. Give PEM files: the certificate with its chain, and its key "
            "(--tls-key) where that is not in the same file.",
            certificate=options.tls_certificate,
        ) from error
