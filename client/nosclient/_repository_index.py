"""A server goes in; every model of its repository, loaded or not, comes out.

Generators that yield calls, as in ``_operations.py``. A server that loads on demand tells its index
only who has a key, which its model manager has: that is asked in its place.
"""

from __future__ import annotations

from nosclient._call import Call, Deadline, Home, Operation
from nosclient._errors import (
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    Unauthorized,
)
from nosclient._model_info import ModelSummary, parse_index
from nosclient._model_manager import (
    has_ended,
    has_no_manager,
    is_managed,
    late_or_not_ready,
    manager_is_away,
    to_manager,
    told_by_manager,
)


class RepositoryIndex:
    """Of the servers of one client; safe to share between threads.

    Args:
        servers: how many there are.
    """

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._behind_managers: set[int | None] = set()
        """Those that refused it, and whose manager told it: not to be refused each time."""
        self.was_refused = False
        """By one of them at least, so that managers are asked."""

    def read(self, limit: Deadline, home: Home | None = None) -> Operation[list[ModelSummary]]:
        """Every model in the server's repository, loaded or not; ``home``: in that server's.

        Raises:
            Unauthorized: the server does not tell it, and has no manager that does.
        """
        home = home or Home()
        if self._is_behind_a_manager(home):
            try:
                return (yield from _told(limit, home))
            except ModelNotFound as error:
                if not has_no_manager(error):
                    raise manager_is_away() from error
                # Another server is at that url by now, or it is one of several without a manager.
                self._behind_managers.discard(self._number(home))
        try:
            return parse_index(
                (yield Call("get_model_repository_index", limit.remaining(), home=home))
            )
        except Unauthorized as error:
            refused = error
            self.was_refused = True
        try:
            index = yield from _told(limit, home)
        except (ModelNotFound, Unauthorized, InvalidInput) as error:
            if isinstance(error, ModelNotFound) and not has_no_manager(error):
                raise manager_is_away() from error
            raise refused from refused.__cause__
        self._behind_managers.add(self._number(home))
        return index

    def has_manager(self, limit: Deadline, home: Home) -> Operation[bool]:
        """Whether the server loads on demand; False as well where it does not tell its models."""
        try:
            return is_managed((yield from self.read(limit, home)))
        except (Unauthorized, ServerError, ModelNotFound, InvalidInput):
            return False

    def has(self, name: str, limit: Deadline) -> Operation[bool]:
        """Whether one of the servers that answer has a model of that name, loaded or not.

        Raises:
            NosClientError: none answers.
        """
        errors: list[NosClientError] = []
        for number in range(self._servers):
            try:
                index = yield from self.read(limit, Home(number))
            except NosClientError as error:
                errors.append(error)
            else:
                if any(row.name == name for row in index):
                    return True
        if len(errors) == self._servers:
            raise errors[0]
        return False

    def _is_behind_a_manager(self, home: Home) -> bool:
        number = self._number(home)
        if number is None:  # any server will do, so one that has a manager
            return bool(self._behind_managers)
        return number in self._behind_managers

    def _number(self, home: Home) -> int | None:
        return 0 if self._servers == 1 else home.endpoint


def _told(limit: Deadline, home: Home) -> Operation[list[ModelSummary]]:
    try:
        return parse_index(told_by_manager((yield to_manager("index", limit.remaining(), home))))
    except ModelNotReady as error:
        raise late_or_not_ready(error) from error
    except InferenceFailed as error:
        raise (manager_is_away() if has_ended(error) else error) from error
