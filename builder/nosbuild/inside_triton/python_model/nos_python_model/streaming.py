"""Requests of a model that streams go in; chunks are sent as the user's iterator yields them.

Each stream runs in a thread of its own, or, where the method is async, as a task of one event
loop: a limit on how many run at once would let those that wait stand still for as long as the
others last. The same code serves both. Its coroutines wait for nothing where a thread runs them.
"""

import asyncio
import contextlib
import inspect
import threading
import time

import triton_python_backend_utils as pb_utils
from nos_python_model.arguments import BadInput
from nos_python_model.failures import Failure
from nos_python_model.stream import Stream
from nos_python_model.stream_leg import ID, UNKNOWN, Leg
from nos_python_model.stream_relay import Relay

MOST_STREAMS = 1024
"""Streams at once in one instance of a model; more are refused."""
LIMIT_MIB = 256
"""What a client may be sent in one request, where it does not go in legs."""
_PARAMETER = "stream_limit_mib"
_STOP_SECONDS = 10.0
_ENDED = 4096
"""Streams whose end is remembered."""
_GRACE_SECONDS = 0.3
"""Triton 24.10 may crash, or keep the model for ever, where a request ends while it still deals
with the cancelling of it."""
_END = object()


class Streaming:
    """Runs the streams of one instance.

    Args:
        adapter: see adapter.py.
        failed: makes the error response of a Failure, and logs it.
        config: the model's configuration, parsed.
        read_streams: what the class reads of others; see ended_streams.py.
        deadline: see execution_deadline.py; a step of a stream, up to its next chunk, is one
            execution. None where there is none.
    """

    def __init__(self, adapter, failed, config, read_streams, deadline=None):
        self._adapter = adapter
        self._failed = failed
        self._read_streams = read_streams
        self._limit = _limit(config)
        self._in_time = contextlib.nullcontext if deadline is None else deadline.execution
        self._is_async = adapter.binding["is_async"]
        self._loop_thread = None
        self._streams = set()
        self._by_id = {}  # those that go in legs
        self._ended = {}  # ids, in order
        self._relay = Relay() if _instances(config) > 1 else None
        self._lock = threading.Lock()

    def execute(self, requests):
        """Start a stream for each request that begins one; returns at once."""
        for request in requests:
            leg = Leg(request)
            if not leg.is_first:
                self._go_on(leg)
                continue
            try:
                self._start(leg, {t.name(): t.as_numpy() for t in request.inputs()})
            except Exception as error:  # noqa: BLE001 - one raised here would kill the worker
                leg.fail(self._failed(Failure(error)))

    def close(self):
        """End what still runs, after its current step."""
        with self._lock:  # those that end take themselves out
            running = list(self._streams)
        for stream in running:
            stream.stop()
        patience = time.monotonic() + _STOP_SECONDS
        while self._streams and time.monotonic() < patience:
            time.sleep(0.01)
        if self._loop_thread is not None:
            loop = self._adapter.event_loop()
            loop.call_soon_threadsafe(loop.stop)
            self._loop_thread.join(_STOP_SECONDS)

    def break_off(self, response):
        """The process is about to end: end each stream with an error that ``response`` makes."""
        with self._lock:
            running = list(self._streams)
        lost = [stream for stream in running if stream.leg.is_cancelled()]
        for stream in running:
            if stream not in lost:
                self._end_now(stream, response())
        if lost:
            time.sleep(_GRACE_SECONDS)
        for stream in lost:
            self._end_now(stream, response())

    def _end_now(self, stream, response):
        try:
            stream.end(response)
        except Exception as error:  # noqa: BLE001 - the others are to be told all the same
            pb_utils.Logger.log_error(f"a stream could not be ended: {error}")

    def _go_on(self, leg):
        stream = self._by_id.get(leg.stream)
        if stream is not None:
            stream.offer(leg)
        elif leg.stream in self._ended:
            leg.end()
        elif self._relay is None or not self._relay.forward(leg):
            message = f"{UNKNOWN} {leg.stream!r}: the model was loaded anew since it began"
            leg.fail(self._failed(Failure(BadInput(message))))

    def _start(self, leg, arrays):
        if len(self._streams) >= MOST_STREAMS:
            raise BadInput(f"{MOST_STREAMS} streams run already; try again when some have ended")
        waits = _LoopWaits() if self._is_async else _ThreadWaits()
        stream = Stream(leg, waits, self._limit)
        if stream.id is not None:
            self._note_id(stream)
        with self._lock:
            self._streams.add(stream)
        try:
            self._launch(self._run(stream, arrays))
        except BaseException:
            self._forget(stream)
            raise

    def _launch(self, run):
        if self._is_async:
            asyncio.run_coroutine_threadsafe(run, self._running_loop())
        else:
            threading.Thread(target=_to_its_end, args=(run,), daemon=True).start()

    def _note_id(self, stream):
        try:
            if stream.id in self._by_id:
                raise OSError
            if self._relay is not None:
                self._relay.open(stream)
        except OSError:
            raise BadInput(f"a stream of the {ID} {stream.id!r} runs already") from None
        self._by_id[stream.id] = stream

    def _running_loop(self):
        loop = self._adapter.event_loop()
        if self._loop_thread is None:
            self._loop_thread = threading.Thread(target=loop.run_forever, daemon=True)
            self._loop_thread.start()
        return loop

    async def _run(self, stream, arrays):
        failure = steps = None
        try:
            arguments = self._adapter.item_arguments(arrays)
            with self._in_time():
                steps = await self._steps(arguments)
            while await stream.may_go_on():
                with self._in_time():
                    value = await steps.next()
                if value is _END:
                    break
                stream.send(self._adapter.item_outputs(value))
                self._read_streams.release([stream.leg])
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
            failure = Failure(error)
        try:
            if steps is not None:
                with self._in_time():
                    await steps.close()
        except BaseException as error:  # noqa: BLE001 - what its own finally raises
            failure = failure or Failure(error)
        if stream.is_lost:
            await stream.rest(_GRACE_SECONDS)
        self._end(stream, failure)

    def _end(self, stream, failure):
        try:
            self._read_streams.release([stream.leg])
        except Exception as error:  # noqa: BLE001 - the stream has to be ended all the same
            pb_utils.Logger.log_error(f"streams that were read are kept: {error}")
        try:
            stream.end(None if failure is None else self._failed(failure))
        except Exception as error:  # noqa: BLE001 - nobody is left to be told but the log
            pb_utils.Logger.log_error(f"a stream could not be ended: {error}")
        finally:
            self._forget(stream)

    def _forget(self, stream):
        with self._lock:
            self._streams.discard(stream)
            if stream.id is None:
                return
            self._ended[stream.id] = None  # a leg of it may still be on its way
            del self._by_id[stream.id]
            if len(self._ended) > _ENDED:
                del self._ended[next(iter(self._ended))]
        if self._relay is not None:
            self._relay.close(stream)

    async def _steps(self, arguments):
        found = self._adapter.method(**arguments)
        if inspect.isawaitable(found):
            found = await found
        if not hasattr(found, "__aiter__"):
            return _Steps(found)
        if not self._is_async:
            raise TypeError(
                "the method returned an asynchronous iterator without saying so: annotate it with "
                "AsyncIterator[...]"
            )
        return _AsyncSteps(found)


class _Steps:
    """What a plain iterator yields."""

    def __init__(self, found):
        self._iterator = iter(found)

    async def next(self):
        return next(self._iterator, _END)

    async def close(self):
        if hasattr(self._iterator, "close"):
            self._iterator.close()


class _AsyncSteps:
    """What an asynchronous iterator yields."""

    def __init__(self, found):
        self._iterator = found.__aiter__()

    async def next(self):
        try:
            return await self._iterator.__anext__()
        except StopAsyncIteration:
            return _END

    async def close(self):
        if hasattr(self._iterator, "aclose"):
            await self._iterator.aclose()


class _ThreadWaits:
    """How a stream in a thread of its own waits."""

    def __init__(self):
        self._event = threading.Event()

    def wake(self):
        self._event.set()

    async def wait(self, seconds):
        self._event.wait(seconds)
        self._event.clear()


class _LoopWaits:
    """How a stream on the event loop waits."""

    def __init__(self):
        self._loop = self._event = None

    def wake(self):
        if self._loop is not None:  # otherwise it has not begun to wait
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds):
        if self._loop is None:
            self._event = asyncio.Event()
            self._loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except asyncio.TimeoutError:
            return
        self._event.clear()


def _to_its_end(coroutine):
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("a plain method waited for something")


def _limit(config):
    entry = config.get("parameters", {}).get(_PARAMETER, {}).get("string_value", LIMIT_MIB)
    try:
        return int(entry) << 20
    except ValueError:
        raise pb_utils.TritonModelException(
            f"parameter {_PARAMETER!r} of config.pbtxt is {entry!r}; write a number of MiB, or 0 "
            "for no limit"
        ) from None


def _instances(config):
    return sum(
        int(group.get("count", 1)) * max(len(group.get("gpus", [])), 1)
        for group in config.get("instance_group", [])
    )
