"""Joining what belongs together: pairs and memberships become connected groups."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Linked(Generic[T]):
    """
    Items joined in pairs (union-find).

    An item that was never joined stands alone.
    """

    def __init__(self, pairs: Iterable[tuple[T, T]] = ()) -> None:
        self._parent: dict[T, T] = {}
        for one, other in pairs:
            self.join(one, other)

    def join(self, one: T, other: T) -> None:
        """Put the groups of both items together."""
        self._parent[self.root(one)] = self.root(other)

    def root(self, item: T) -> T:
        """Give the item that stands for the whole group: equal for two items exactly when they are joined."""
        above = item
        while (parent := self._parent.get(above, above)) != above:
            above = parent
        while item != above:  # path compression: long chains stay quick
            self._parent[item], item = above, self._parent.get(item, item)
        return above

    def groups(self, items: Iterable[T]) -> list[list[T]]:
        """Collect the given items by group, groups and members in the order in which the items come."""
        found: dict[T, list[T]] = {}
        for item in items:
            found.setdefault(self.root(item), []).append(item)
        return list(found.values())
