"""What 1,000 slow and half-open connections cost the others.

    python -m benchmarks.slowloris [--quick]

One server process (`--inline`) of the even/odd model. A third of the connections send nothing, a third send a head a
byte now and then, a third a body. Rounds with them and without are interleaved, in pairs; the figure is the median
latency of eight other connections. At the end it is counted how many of the slow ones the server has ended after the
time that a head may take.
"""

from __future__ import annotations

import argparse
import resource
import selectors
import socket
import threading
import time

from benchmarks.realtime import bodies_of, load
from benchmarks.results import Goal, Results
from benchmarks.servers import OURS, running

SLOW, ALONE = "twofold", "without them"
CONNECTIONS = 1000
HEAD = b"POST /predict HTTP/1.1\r\nHost: test\r\nX-Slow: "
BODY = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{"
WAIT_S = 12.0


class SlowClients:
    """The connections; `drip` goes on sending a byte on each, until they are closed."""

    def __init__(self, port: int, count: int) -> None:
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        for at, sock in enumerate(self.sockets):
            if at % 3:
                sock.sendall(HEAD if at % 3 == 1 else BODY)
            sock.setblocking(False)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def _drip(self) -> None:
        while not self._end.wait(1.0):
            for at, sock in enumerate(self.sockets):
                if at % 3:
                    try:
                        sock.send(b" ")
                    except OSError:
                        continue

    def ended(self) -> int:
        """How many the server has ended."""
        with selectors.DefaultSelector() as selector:
            for sock in self.sockets:
                selector.register(sock, selectors.EVENT_READ)
            return len(selector.select(timeout=0))

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        for sock in self.sockets:
            sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short pair")
    quick = parser.parse_args().quick
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CONNECTIONS)), hard))
    began = time.perf_counter()
    results = Results.begin("slowloris", 1 if quick else 9, quick=quick)
    seconds = 0.5 if quick else 1.5
    bodies = bodies_of("even")
    found: dict[str, list[float]] = {SLOW: [], ALONE: []}
    with running(OURS, "even", bodies[0]) as server:
        load(server, bodies, 8, seconds)
        for _ in range(results.rounds):
            found[ALONE].append(load(server, bodies, 8, seconds)[2] * 1e3)
            slow = SlowClients(server.port, CONNECTIONS)
            found[SLOW].append(load(server, bodies, 8, seconds)[2] * 1e3)
            slow.close()
        slow = SlowClients(server.port, CONNECTIONS)
        time.sleep(WAIT_S)
        ended = slow.ended()
        slow.close()
    results.add("even or odd", f"median latency beside {CONNECTIONS:,} slow connections", "µs", found)
    pairs = [slow / alone for slow, alone in zip(found[SLOW], found[ALONE], strict=True)]
    results.add("even or odd", "of a pair: with them, over without", "", {"pairs": pairs}, Goal(1.15, side="pairs"))
    results.add(
        "even or odd", f"of {CONNECTIONS:,} ended after {WAIT_S:g} s: no head has come", "", {SLOW: [float(ended)]}
    )
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
