"""The calls of an operation go in; the same calls, each at a server, come out, again if need be.

A generator around the operation's, so that both clients share it: no socket, no event loop. Where
there are several servers, a call goes to one of them (``_endpoints.py``), and to another where that
one is lost or lacks the model. What is sent again, and when: ``_retry.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from nosclient._address import Address
from nosclient._call import Call, Deadline, Everywhere, Home, Lost, Operation, Pause, Routed, Turn
from nosclient._endpoints import LONGEST_PROBE_SECONDS, SHORTEST_PROBE_SECONDS, Endpoints
from nosclient._errors import (
    DeadlineExceeded,
    ModelNotFound,
    NosClientError,
    ServerUnavailable,
    Unauthorized,
)
from nosclient._retry import RetryBudget, is_safe, pause_seconds

T = TypeVar("T")

_QUESTIONS = ("is_server_live", "is_server_ready", "is_model_ready")
_COUNTERS = "get_inference_statistics"
_log = logging.getLogger("nosclient")


class Routing:
    """The servers of one client and what is known of them; safe to share between threads."""

    def __init__(self, addresses: Sequence[Address], retries: int) -> None:
        self._addresses = addresses
        self._retries = retries
        self._endpoints = Endpoints(len(addresses))
        self._is_alone = len(addresses) == 1
        self._budget = RetryBudget()

    def was_answered(self) -> None:
        """An inference that did not come this way, since nothing went wrong with it."""
        self._budget.deposit()

    def routed(self, operation: Operation[T]) -> Routed[T]:
        """The operation, its calls sent to servers and sent again."""
        try:
            step = next(operation)
            while True:
                try:
                    if self._is_alone and type(step) is Call and step.method == "infer":
                        # Each inference comes here: no generators but for one that was lost.
                        self._budget.deposit()
                        limit = Deadline(step.timeout)
                        try:
                            answer = yield step
                        except ServerUnavailable as error:
                            answer = yield from self._sent(step, limit, error)
                    else:
                        answer = yield from self._step(step)
                except NosClientError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            operation.close()

    def _step(self, step: Call | Turn | Pause | Lost | Everywhere) -> Routed[Any]:
        if isinstance(step, Everywhere):
            return (yield from self._told_all(step))
        if isinstance(step, Lost):
            return (yield from self._may_begin_again(step))
        if not isinstance(step, Call):
            return (yield step)
        if step.method in _QUESTIONS:
            return (yield from self._asked(step))
        if not self._is_alone and step.home is None and step.method == _COUNTERS:
            return (yield from self._collected(step))
        return (yield from self._sent(step, Deadline(step.timeout)))

    def _sent(
        self, call: Call, limit: Deadline, lost: ServerUnavailable | None = None
    ) -> Routed[Any]:
        """The answer, from whichever server gives one; ``lost``: it was sent once, in vain."""
        home = call.home
        is_bound = home is not None and home.endpoint is not None
        tried: set[int] = set()
        refusals: dict[int, ModelNotFound] = {}
        attempt = 0
        if lost is None:
            self._budget.deposit()
        while True:
            if home is not None and home.endpoint is not None:
                number = home.endpoint
            elif self._is_alone:
                number = 0
            else:
                number = yield from self._chosen(call, tried, limit)
            if home is not None:
                home.endpoint = number
            if number != call.endpoint or tried or attempt:
                call = call._replace(endpoint=number, timeout=limit.remaining())
            try:
                if lost is not None:
                    first, lost = lost, None
                    raise first
                answer = yield from self._once(call)
            except ModelNotFound as error:
                # Nothing was run. A server that was started a moment ago loads its models yet.
                refusals[number] = error
                tried.add(number)
                if is_bound or len(tried) == len(self._endpoints) or not self._retries:
                    refusal = next(iter(refusals.values()))
                    raise refusal from refusal.__cause__
            except ServerUnavailable as error:
                error.endpoint = number
                tried.add(number)
                has_other = not is_bound and self._endpoints.has_other(tried)
                is_free = has_other and not error.was_sent  # it goes no further than a connection
                is_last = attempt >= self._retries and not (is_free and self._retries)
                if is_last or not is_safe(call, error) or not self._budget.withdraw():
                    raise
                if not has_other:
                    yield from self._rested(attempt, limit, error)
                    tried.clear()
                attempt += not is_free
            else:
                for lacking in refusals:
                    self._endpoints.lacks(lacking, call.model)
                return answer
            if home is not None and not is_bound:
                home.endpoint = None

    def _once(self, call: Call) -> Routed[Any]:
        """The answer of the call's server; what it shows of the server is noted."""
        number = call.endpoint
        if self._is_alone:
            return (yield call)
        self._endpoints.sent(number)
        try:
            answer = yield call
        except ServerUnavailable as error:
            if error.is_lost:
                self._failed(number, error)
            raise
        except DeadlineExceeded:
            self._endpoints.doubt(number)
            raise
        else:
            if call.method != "stream_infer":  # that is not sent yet
                self._worked(number)
            return answer
        finally:
            self._endpoints.done(number)

    def _failed(self, number: int, error: NosClientError) -> None:
        """The server is left alone for a while: told once, until it is back."""
        if self._endpoints.failed(number) and not self._is_alone:
            _log.warning("%s is given no requests for now: %s", self._addresses[number], error)

    def _worked(self, number: int) -> None:
        if self._endpoints.worked(number):
            _log.warning("%s answers again, and is given requests", self._addresses[number])

    def _chosen(self, call: Call, tried: set[int], limit: Deadline) -> Routed[int]:
        """A server; one that was lost only after it said that it is ready, and one that let a
        deadline pass after it answered at all.
        """
        avoid = set(tried)
        while True:
            number = self._endpoints.pick(call.model, avoid)
            state = self._endpoints.state(number)
            if state == "rests" and self._endpoints.has_other(avoid):
                continue  # it was lost a moment ago
            if state != "is to be probed":
                return number
            remaining = limit.remaining()
            patience = LONGEST_PROBE_SECONDS
            if remaining is not None:
                patience = min(patience, remaining / 4)
            if (yield from self._is_back(number, patience)):
                return number
            avoid.add(number)
            if len(avoid) >= len(self._endpoints):
                return number

    def _is_back(self, number: int, patience: float) -> Routed[bool]:
        was_lost = self._endpoints.is_lost(number)
        reason: NosClientError = ServerUnavailable("it is not ready")
        try:
            is_ready: bool = yield Call("is_server_ready", patience, endpoint=number)
        except Unauthorized:
            is_ready = True  # it is there, and health is among its restricted APIs
        except NosClientError as error:
            is_late = isinstance(error, DeadlineExceeded)
            if is_late and not was_lost and patience < SHORTEST_PROBE_SECONDS:
                self._endpoints.undecided(number)
                return False
            is_ready, reason = False, error
        else:
            is_ready = is_ready or not was_lost  # it does not hang
        if is_ready:
            self._worked(number)
        else:
            self._failed(number, reason)
        return is_ready

    def _rested(self, attempt: int, limit: Deadline, error: ServerUnavailable) -> Routed[None]:
        pause, remaining = pause_seconds(attempt), limit.remaining()
        if remaining is not None and pause >= remaining:
            raise error
        yield Pause(pause)

    def _may_begin_again(self, lost: Lost) -> Routed[bool]:
        """Whether a stream that was lost before its first chunk may be opened anew; waits."""
        home, error = lost.home, lost.error
        assert home.endpoint is not None, "it was open"
        if error.is_lost:
            self._failed(home.endpoint, error)
        if lost.attempt >= self._retries or not self._budget.withdraw():
            return False
        if not self._endpoints.has_other({home.endpoint}):
            yield from self._rested(lost.attempt, lost.limit, error)
        home.endpoint = None
        return True

    def _asked(self, call: Call) -> Routed[bool]:
        """Whether every server that answers says yes, and one does; never sent again."""
        if call.home is not None and call.home.endpoint is not None:
            call = call._replace(endpoint=call.home.endpoint)
            return bool((yield call))
        if self._is_alone:
            return bool((yield call))
        limit = Deadline(call.timeout)
        answers: list[bool] = []
        errors: list[NosClientError] = []
        living = self._endpoints.living()
        for place, number in enumerate(living):
            remaining = limit.remaining()
            if remaining is not None:  # one that hangs leaves the others their share
                remaining /= len(living) - place
            one = call._replace(endpoint=number, timeout=remaining)
            try:
                answers.append((yield from self._once(one)))
            except NosClientError as error:
                errors.append(error)
        if not answers:
            raise errors[0]
        return all(answers)

    def _told_all(self, command: Everywhere) -> Routed[None]:
        """A command to every server; its errors once all were told, with where it is done."""
        if self._is_alone:
            yield from self.routed(command.at(Home(0)))
            return
        done: list[str] = []
        errors: list[NosClientError] = []
        refusals: list[str] = []
        living = self._endpoints.living()
        # Those that were lost come last: they may take up what is left of the time.
        for number in sorted(range(len(self._addresses)), key=lambda n: n not in living):
            address = str(self._addresses[number])
            try:
                yield from self.routed(command.at(Home(number)))
                done.append(address)
            except NosClientError as error:
                errors.append(error)
                is_told = address in error.message
                refusals.append(error.message if is_told else f"{address}: {error.message}")
        if errors:
            where = f"{command.what} was done at {', '.join(done) or 'none of the servers'}"
            errors[0].message = "; ".join([*refusals, where])
            errors[0].args = (errors[0].message,)
            raise errors[0]

    def _collected(self, call: Call) -> Routed[Mapping[str, Any]]:
        """The counters of every server that lives, one after the other: they are summed later."""
        limit = Deadline(call.timeout)
        rows: list[Any] = []
        errors: list[NosClientError] = []
        living = self._endpoints.living()
        for number in living:
            one = call._replace(home=Home(number), timeout=limit.remaining())
            try:
                rows += (yield from self._sent(one, Deadline(one.timeout))).get("model_stats", [])
            except NosClientError as error:
                errors.append(error)
        if len(errors) == len(living):
            raise errors[0]
        return {"model_stats": rows}
