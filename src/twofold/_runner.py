"""Runner: the only caller of a model. It checks what comes back, and no failing row fails its neighbours."""

from __future__ import annotations

import atexit
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from twofold._blame import is_out_of_memory, one_line, said, traceback_text
from twofold._columns import Batch
from twofold._errors import BadRow, RowFailure, WrongResult

if TYPE_CHECKING:
    import asyncio  # 15 ms: imported below by what waits, which most models do not
    from concurrent.futures import ThreadPoolExecutor

    from twofold._flavors.loaded import PlainCalls
    from twofold._model import Model
    from twofold._usage import Piece

__all__ = ["Result", "Runner", "StreamBroke", "failure_of"]

TRACEBACKS_A_CALL = 3

Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass(slots=True)
class Result:
    """The rows that were answered, in order, and why each of the others was not, by its position in the batch.

    `exhausted_rows`: the fewest rows (more than one) that ran out of memory together; 0 when that did not happen.
    """

    outputs: Batch
    failures: dict[int, RowFailure] = field(default_factory=dict)
    exhausted_rows: int = 0


class StreamBroke(Exception):
    """An answer in pieces ended before it was complete; `failure` says why."""

    def __init__(self, failure: RowFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Runner:
    """A loaded model in one process.

    Whatever `predict` raises on a row is that row's failure and no other's: `BadRow` is the row's fault (`bad_row`),
    anything else is the model's (`model_failed`), and so are an answer that is not what the signature says and a call
    of sys.exit. A model on whole columns that fails is asked again with halves of the rows until those that fail are
    found. Only KeyboardInterrupt, and the cancellation of the caller's own task, pass through.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.signature = model.signature
        self._schema = model.signature.output_schema
        self._call_row = model.call_row
        self._plain = model.plain_calls
        self._call_columns = model.call_columns
        self._pool: ThreadPoolExecutor | None = None
        self._places: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    def run(self, batch: Batch) -> Result:
        """Answer every row of the batch. A model that waits does so on an event loop of this process's own."""
        call = self._call_row
        if call is None:
            if self._call_columns is not None:
                return self._run_columns(batch, self._call_columns)
            return _loop_thread().run(self.run_async(batch))
        if batch.n_rows == 1:  # nearly always so in real time: nothing here that it does not need
            try:
                return Result(Batch.from_rows(self._schema, [call(batch.rows()[0])]), {})
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                return Result(Batch.from_rows(self._schema, []), {0: failure_of(error)})
        if self.model.threads:
            return self._gathered(self._in_threads(batch.rows(), call))
        if self._plain is not None and batch.holds != "rows":
            return self._run_plain(batch, self._plain)
        rows = batch.rows()
        answers, failures = _called(map(call, rows), lambda at: call(rows[at]), batch.n_rows)
        return Result(Batch.from_rows(self._schema, answers), failures)

    async def run_async(self, batch: Batch) -> Result:
        """Answer every row of the batch on the caller's event loop, at most `concurrency` rows at once in all calls.

        A model that does not wait answers at once, and blocks the loop meanwhile.
        """
        if self.model.acall_columns is not None:
            return await self._run_columns_async(batch, self.model.acall_columns)
        call = self.model.acall_row
        if call is None:
            return self.run(batch)
        import asyncio

        rows = batch.rows()
        places = self._places_on(asyncio.get_running_loop())
        answers: list[Row | BaseException] = [()] * len(rows)
        waiting = iter(range(len(rows)))

        async def work() -> None:
            for position in waiting:
                async with places:
                    answers[position] = await _answer(call, rows[position])

        if len(rows) == 1:
            await work()
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(rows), self.model.concurrency or 1)):
                    group.create_task(work())
        return self._gathered(answers)

    # ---- one row, piece by piece ----

    def stream(self, row: Row) -> Generator[Piece, None, None]:
        """The pieces of one row's answer, of a model that yields and blocks (`Model.stream_row`), as it makes them.

        Raises StreamBroke where `run` has a failure. Closing it closes the model's generator.
        """
        call = self.model.stream_row
        assert call is not None
        try:
            yield from call(row)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            raise StreamBroke(failure_of(error)) from error

    async def stream_async(self, row: Row) -> AsyncGenerator[Piece, None]:
        """`stream` of a model that yields and waits (`Model.astream_row`). It holds one of the `concurrency` places."""
        import asyncio

        call = self.model.astream_row
        assert call is not None
        async with self._places_on(asyncio.get_running_loop()):
            pieces = call(row)
            try:
                async for piece in pieces:
                    yield piece
            except BaseException as error:
                raise StreamBroke(failure_of(_unless_ending(error))) from error
            finally:
                await pieces.aclose()

    # ---- one call a row ----

    def _run_plain(self, batch: Batch, calls: PlainCalls) -> Result:
        """The same as one `call_row` a row, for a function that takes values as they are: all answers are looked at
        together, and become a column without having been rows."""
        function, n_rows = calls.function, batch.n_rows

        def again(at: int) -> Any:
            return function(*batch.slice(at, at + 1).rows()[0])

        answers, failures = _called(batch.calls(function), again, n_rows)
        column = calls.plain.column(answers)
        if column is None:
            return self._finished(calls, answers, failures, n_rows)
        return Result(Batch.from_columns(self._schema, [column]), failures)

    def _finished(self, calls: PlainCalls, answers: list[Any], failures: dict[int, RowFailure], n_rows: int) -> Result:
        finished: list[Row] = []
        asked = [position for position in range(n_rows) if position not in failures] if failures else range(n_rows)
        for position, answer in zip(asked, answers, strict=True):
            try:
                finished.append(calls.finish(answer))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                failures[position] = failure_of(error, with_traceback=len(failures) < TRACEBACKS_A_CALL)
        return Result(Batch.from_rows(self._schema, finished), dict(sorted(failures.items())))

    def _gathered(self, answers: list[Row | BaseException]) -> Result:
        failures: dict[int, RowFailure] = {}
        answered: list[Row] = []
        for position, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                failures[position] = failure_of(answer, with_traceback=len(failures) < TRACEBACKS_A_CALL)
            else:
                answered.append(answer)
        return Result(Batch.from_rows(self._schema, answered), failures)

    def _in_threads(self, rows: list[Row], call: Callable[[Row], Row]) -> list[Row | BaseException]:
        def answer(row: Row) -> Row | BaseException:
            try:
                return call(row)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                return error

        from concurrent.futures import ThreadPoolExecutor

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.model.threads, thread_name_prefix="twofold-predict")
        return list(self._pool.map(answer, rows))

    def _places_on(self, loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
        import asyncio

        if self._places is None or self._places[0] is not loop:
            self._places = (loop, asyncio.Semaphore(self.model.concurrency or 1))
        return self._places[1]

    # ---- whole columns ----

    def _run_columns(self, batch: Batch, call: Callable[[Batch], Batch]) -> Result:
        if not batch.n_rows:
            return self._nothing()
        answer = _attempt(call, batch)
        if isinstance(answer, Batch):
            return Result(answer)
        halving, piece = self._halving(batch, answer), None
        try:
            while True:
                piece = halving.send(None if piece is None else _attempt(call, piece))
        except StopIteration as end:
            return _value(end)

    async def _run_columns_async(self, batch: Batch, call: Callable[[Batch], Awaitable[Batch]]) -> Result:
        if not batch.n_rows:
            return self._nothing()
        answer = await _attempt_async(call, batch)
        if isinstance(answer, Batch):
            return Result(answer)
        halving, piece = self._halving(batch, answer), None
        try:
            while True:
                piece = halving.send(None if piece is None else await _attempt_async(call, piece))
        except StopIteration as end:
            return _value(end)

    def _halving(self, batch: Batch, error: BaseException) -> Generator[Batch, Batch | BaseException | None, Result]:
        """Yields pieces, and is sent the answer or the error of each, until every failing row stands alone."""
        answered: list[tuple[int, Batch]] = []
        failures: dict[int, RowFailure] = {}
        failing = [(0, batch.n_rows, error)]
        exhausted_rows = 0
        while failing:
            start, stop, error = failing.pop()
            if stop - start > 1 and is_out_of_memory(error):
                exhausted_rows = min(exhausted_rows or batch.n_rows, stop - start)
            if stop - start == 1:
                failures[start] = failure_of(error, with_traceback=len(failures) < TRACEBACKS_A_CALL)
                continue
            middle = (start + stop) // 2
            again: list[tuple[int, int, BaseException]] = []
            for first, last in ((start, middle), (middle, stop)):
                answer = yield batch.slice(first, last)
                if isinstance(answer, Batch):
                    answered.append((first, answer))
                elif answer is not None:
                    again.append((first, last, answer))
            failing.extend(reversed(again))
        answered.sort(key=lambda piece: piece[0])
        outputs = Batch.concat([piece for _, piece in answered]) if answered else Batch.from_rows(self._schema, [])
        return Result(outputs, failures, exhausted_rows)

    def _nothing(self) -> Result:
        return Result(Batch.from_rows(self._schema, []))


def _called(calls: Iterator[T], again: Callable[[int], T], n_rows: int) -> tuple[list[T], dict[int, RowFailure]]:
    """What `calls` gives, a row a step, and the failures of the rows where it raises, by their position.

    `list.extend` makes the calls: that is all there is of Python between two of them. What came before an exception
    stays in the list, and the next step is the next row, so that every row is called once. But a StopIteration of the
    model's own looks like the end: that row is called by `again` to learn what was raised.
    """
    answers: list[T] = []
    failures: dict[int, RowFailure] = {}
    while True:
        try:
            answers.extend(calls)
            position = len(answers) + len(failures)
            if position == n_rows:
                return answers, failures
            answers.append(again(position))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            position = len(answers) + len(failures)
            failures[position] = failure_of(error, with_traceback=len(failures) < TRACEBACKS_A_CALL)


def failure_of(error: BaseException, *, with_traceback: bool = True) -> RowFailure:
    """What the caller of a row is told about an exception of the model's."""
    kind = type(error).__name__
    if isinstance(error, BadRow):
        return RowFailure("bad_row", one_line(error) or "the model refused this row", kind)
    message = error.message if isinstance(error, WrongResult) else said(error)
    return RowFailure("model_failed", message, kind, traceback=traceback_text(error) if with_traceback else "")


def _value(end: StopIteration) -> Result:
    result: Result = end.value
    return result


def _attempt(call: Callable[[Batch], Batch], piece: Batch) -> Batch | BaseException:
    try:
        return _same_length(call(piece), piece)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error


async def _attempt_async(call: Callable[[Batch], Awaitable[Batch]], piece: Batch) -> Batch | BaseException:
    try:
        return _same_length(await call(piece), piece)
    except BaseException as error:
        return _unless_ending(error)


async def _answer(call: Callable[[Row], Awaitable[Row]], row: Row) -> Row | BaseException:
    try:
        return await call(row)
    except BaseException as error:
        return _unless_ending(error)


def _unless_ending(error: BaseException) -> BaseException:
    """The error, but where it is not the model's: the process is interrupted, or the caller's task cancelled."""
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        raise error
    import asyncio

    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
    return error


def _same_length(answer: Batch, piece: Batch) -> Batch:
    if answer.n_rows != piece.n_rows:
        raise WrongResult(f"The model answered {answer.n_rows} rows for {piece.n_rows}.")
    return answer


class _LoopThread:
    """An event loop in a thread. One for the life of the process: what a model keeps open (a connection, say) belongs
    to the loop it was opened on."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="twofold-loop", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        import asyncio

        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        import asyncio

        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return answer.result()
        except BaseException:
            answer.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=1.0)


_the_loop_thread: _LoopThread | None = None
_lock = threading.Lock()


def _loop_thread() -> _LoopThread:
    global _the_loop_thread
    with _lock:
        if _the_loop_thread is None:
            _the_loop_thread = _LoopThread()
            atexit.register(_the_loop_thread.stop)
        return _the_loop_thread
