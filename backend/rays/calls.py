"""The calls of this process that are under way at replicas, so that none of them touches Ray once it is shut down.

Ray ends the whole process, with status 1, when a thread comes to it afterwards. So no call is begun, read or cancelled
then, and Ray is shut down only when all threads have come back.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

from backend.rays.resume import Lost


class Calls:
    """Begins calls until it is shut."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[Call] = set()
        self._shut = False

    def begin(self, ask: Callable[[], Any]) -> Call:
        """Begin a call, whose answers are to be read once, to the end or to a failure; raises ``Lost`` when it is shut."""
        with self._changed:
            if self._shut:
                raise Lost("this server is closing")
            call = Call(self, ask())
            self._open.add(call)
            return call

    def shut(self, seconds: float) -> bool:
        """Begin no more, cancel what is under way, and return whether nobody reads any more within ``seconds``."""
        with self._changed:
            self._shut = True
            for call in self._open:
                call.answers.cancel()
            return self._changed.wait_for(lambda: not self._open, seconds)

    def over(self, call: Call) -> None:
        """Note that nobody reads a call any more."""
        with self._changed:
            self._open.discard(call)
            self._changed.notify_all()

    def cancel(self, call: Call) -> None:
        """End a call at its replica; nothing happens to one that is over."""
        with self._changed:
            if call in self._open:
                call.answers.cancel()


class Call:
    """One call: ``answers`` is what Serve's handle returned for it."""

    def __init__(self, calls: Calls, answers: Any) -> None:
        self._calls, self.answers = calls, answers

    def __iter__(self) -> Iterator[Any]:
        """Yield what a replica answers in pieces; raises ``Lost`` for what goes wrong on the way, or ``Full``.

        A reader that leaves ends the call at its replica.
        """
        try:
            yield from self.answers
        except GeneratorExit:
            self.cancel()  # here: below it is over, and nothing would be cancelled any more
            raise
        except Exception as error:
            raise _met(error) from error
        finally:
            self._calls.over(self)

    def in_time(self, seconds: float) -> Iterator[Any]:
        """Yield what iteration does, and None whenever nothing came for ``seconds``: a call may wait long for a replica.

        Whoever leaves it cancels the call, so that the thread that reads comes back.
        """
        arrived: queue.SimpleQueue[tuple[Any] | Exception | None] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._read, args=(arrived.put,), name="unmask-call", daemon=True).start()
        except BaseException:  # nobody will read it
            self.cancel()
            self._calls.over(self)
            raise
        while True:
            try:
                came = arrived.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if came is None:
                return
            if isinstance(came, Exception):
                raise came
            yield came[0]

    def _read(self, put: Callable[[tuple[Any] | Exception | None], None]) -> None:
        """Put every answer in a tuple, then what ended them: an error, or nothing."""
        try:
            for answer in self:
                put((answer,))
        except Exception as error:
            put(error)
        else:
            put(None)

    def result(self) -> Any:
        """Return the one answer of a replica; raises as iteration does."""
        try:
            return self.answers.result()
        except Exception as error:
            raise _met(error) from error
        finally:
            self._calls.over(self)

    def cancel(self) -> None:
        """End the call at its replica; may be called from any thread, and twice."""
        self._calls.cancel(self)


class Full(Exception):
    """The deployment has as many requests waiting as may."""


def _met(error: Exception) -> Exception:
    """Return what an error of Ray says to the engine; any other is returned as it is."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import BackPressureError, RayServeException

    if isinstance(error, BackPressureError):
        return Full()
    return Lost(type(error).__name__) if isinstance(error, RayError | RayServeException | CancelledError) else error
