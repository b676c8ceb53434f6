"""The Catalog: the models of one server process, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from twofold._errors import UsageError
from twofold._realtime.exposition import Counted, OwnCounts
from twofold._realtime.names import check_names
from twofold._realtime.service import Service

__all__ = ["Catalog"]


class Catalog(Mapping[str, Service]):
    """Name -> Service, in the order given. At least one; the first is also the default."""

    def __init__(self, services: Iterable[Service], counted: Counted | None = None) -> None:
        """`counted`: what all processes of the server have counted of these models; None: this is the only one.

        Raises UsageError where two of them have the same name.
        """
        services = list(services)
        check_names((service.name, service.name) for service in services)
        self._services = {service.name: service for service in services}
        if not self._services:
            raise UsageError("There is no model to serve.")
        self.default = next(iter(self._services.values()))
        self.counted = OwnCounts([each.counters for each in self.values()]) if counted is None else counted

    def __getitem__(self, name: str) -> Service:
        return self._services[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    @property
    def ready(self) -> bool:
        """All of the models can answer."""
        return all(service.ready for service in self._services.values())

    @property
    def draining(self) -> bool:
        """The server has been told to stop."""
        return self.default.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        for service in self._services.values():
            service.draining = draining

    @property
    def accepting(self) -> bool:
        """What a load balancer asks: may new requests come here?"""
        return self.ready and not self.draining
