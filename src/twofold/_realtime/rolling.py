"""The processes of a generation, replaced one after the other by new ones of the same models.

    inline      a new server process serves, then an old one drains and goes
    isolated    a new model process joins the server process, then an old one goes when its call is over. At last the
                server process itself: a new one starts with a new model process of each model; when it serves, the old
                one drains, and its model processes go over as it has nothing more for them to do.

So there is never less to compute with than before, and hardly more memory in use.
"""

from __future__ import annotations

from twofold._realtime.generation import Generation
from twofold._realtime.place import Place

__all__ = ["Roll"]


class Roll:
    """`step` it whenever something has happened, until it is `over`.

    loaded  has loaded the models anew: what it has become the first of the new processes
    """

    def __init__(self, current: Generation, loaded: Generation) -> None:
        self.loaded = loaded
        self.over = False
        self._current = current
        self._left: list[Place] | None = None
        self._last: list[Place] = []
        self._front_is_left = bool(current.isolated)

    def step(self) -> None:
        """Start the next one, if the last one has come so far. Raises OSError."""
        current = self._current
        if any(place.replaces is not None or (place.leaving and place.role == "model") for place in current.places):
            return
        if self._left is None:
            self._left = self._all_but_the_last()
        while self._left:
            place = self._left.pop(0)
            if place in current.places and not place.leaving:
                current.replace(place, self._loaded_for(place))
                return
        if self._front_is_left:
            self._front_is_left = False
            self._replace_front()
            return
        self.over = True

    def _all_but_the_last(self) -> list[Place]:
        """What is replaced one by one: the last process of each model goes with the server process."""
        current = self._current
        if not current.isolated:
            return [place for place in current.servers if not place.leaving]
        left = []
        for number in sorted(current.isolated):
            *others, last = self._of_model(number)
            left += others
            self._last.append(last)
        return left

    def _of_model(self, number: int) -> list[Place]:
        places = self._current.places
        return [place for place in places if place.role == "model" and place.models == (number,) and not place.leaving]

    def _replace_front(self) -> None:
        current = self._current
        for front in [place for place in current.servers if not place.leaving]:
            current.replace(front)
        for last in self._last:
            if last in current.places and not last.leaving:
                last.stays = True
                current.replace(last, self._loaded_for(last))

    def _loaded_for(self, place: Place) -> Place | None:
        """What has loaded the models of that place already."""
        loaded = self.loaded
        if place.role == "model":
            found = [each for each in loaded.places if each.models == place.models]
        elif not self._current.isolated and loaded.places:
            loaded.isolated = frozenset()
            loaded.become_servers({each.models[0]: each for each in loaded.places}, 1)
            found = loaded.servers
        else:
            found = []
        return loaded.give(found[0]) if found else None
