"""A server that answers what it is told to."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from typing import Any

import msgspec

import twofold
from tests.compare.servers import answer
from tests.realtime import models

GOOD = answer(b'{"prediction":"Odd"}')


def busy(status: str = "429 Too Many Requests", code: str = "overloaded", *headers: str) -> bytes:
    body = msgspec.json.encode({"code": code, "detail": "too much to do", "errors": []})
    return answer(body, status, "Content-Type: application/problem+json", *headers)


class Scripted:
    """A server that describes the model parity, then gives these answers, the last one again and again."""

    def __init__(self, replies: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self.replies = replies
        self.heads: list[str] = []
        self.at_s: list[float] = []
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        threads = []
        while True:
            sock, _ = self._listening.accept()
            with contextlib.suppress(OSError):
                if sock.recv(1, socket.MSG_PEEK) == b"!":
                    sock.close()
                    break
            threads.append(threading.Thread(target=self._talk, args=(sock,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _talk(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as stream:
                while head := self._head(stream):
                    if head.startswith("GET"):
                        sock.sendall(DESCRIPTION)
                        continue
                    self.heads.append(head)
                    self.at_s.append(time.monotonic())
                    sock.sendall(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])
        except OSError:
            sock.close()

    @staticmethod
    def _head(stream: Any) -> str:
        lines = []
        while (line := stream.readline()) not in (b"\r\n", b""):
            lines.append(line.decode())
        head = "".join(lines)
        if head:
            found = re.search(r"(?i)content-length: (\d+)", head)
            assert found
            stream.read(int(found[1]))
        return head

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        with socket.create_connection(self._listening.getsockname()) as last:
            last.sendall(b"!")
        self._thread.join(10)
        self._listening.close()


def _description() -> bytes:
    signature = twofold.load(models.parity).signature.to_json()
    info = {"title": "parity", "version": "0" * 12, "x-twofold-signature": signature}
    example = {"requestBody": {"content": {"application/json": {"examples": {"row": {"value": {"number": 7}}}}}}}
    paths = {"/predict": {"post": example}, "/models/parity/predict": {"post": {"x-twofold-signature": signature}}}
    return answer(msgspec.json.encode({"info": info, "paths": paths}), "200 OK", f"Model-Version: {'0' * 12}")


DESCRIPTION = _description()
