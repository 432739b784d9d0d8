"""One classifier that several copies answer for: one a device, or each in a process of its own."""

import contextlib
import multiprocessing
import queue
import signal
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._addresses import without_secrets
from occlumap._checks import seconds, whole_number
from occlumap._fingerprints import imports_timed, of_classifier
from occlumap.classifiers import Classifier, Prepared, name_of, prepared, requests_of
from occlumap.errors import ArgumentError, ClassifierError

CARRIED = ("classes", "input_size", "fingerprint")
"""What explanations and the cache want to know of a classifier, besides its name."""


class Replicas:
    """Copies of one classifier, of which a free one answers each call; see `replicas` and `in_processes`.

    `replicas`: how many there are; `occlumap.explain` calls from so many threads when `workers` is not given.
    """

    def __init__(self, copies: Sequence[Callable[..., Any]], name: str, about: dict[str, Any]) -> None:
        self.name, self.replicas = name, len(copies)
        self.wrapped_classifiers = tuple(copies)
        for key, value in about.items():
            setattr(self, key, value)
        self._free: queue.LifoQueue[Callable[..., Any]] = queue.LifoQueue()
        for one in reversed(copies):
            self._free.put(one)

    def __call__(self, batch: NDArray[np.uint8], /) -> Any:
        """Scores (n, classes) of a uint8 batch (n, H, W, 3), by the first copy that is free."""
        one = self._free.get()
        try:
            return one(batch)
        finally:
            self._free.put(one)

    def __repr__(self) -> str:
        return f"<{self.replicas} replicas of {self.name}>"


def replicas(classifiers: Sequence[Classifier]) -> Replicas:
    """A classifier that several copies of one answer for, say the same network on each of your devices.

    The copies must give the same scores: which of them answers is chance.

    >>> import numpy as np
    >>> twice = replicas([lambda batch: batch.mean(axis=(1, 2)), lambda batch: batch.mean(axis=(1, 2))])
    >>> twice(np.zeros((1, 2, 2, 3), np.uint8)).shape, twice.replicas
    ((1, 3), 2)

    Raises ArgumentError when there is none, or when their classes or input sizes differ.
    """
    if not isinstance(classifiers, Iterable):
        raise ArgumentError(
            f"expected a list of classifiers, replicas([one, another]), got {type(classifiers).__name__}"
        )
    copies = list(classifiers)
    if not copies or not all(callable(one) for one in copies):
        raise ArgumentError(f"expected one classifier or more, got {copies!r:.80}")
    first, *others = [_about(one) for one in copies]
    for other in others:
        for key in CARRIED:
            if first.get(key) != other.get(key):
                raise ArgumentError(
                    f"expected copies of one classifier, which have the same {key}; got {first.get(key)!r:.60} and "
                    f"{other.get(key)!r:.60}"
                )
    for key in ("prepare", "features"):
        if hasattr(copies[0], key):
            first[key] = getattr(copies[0], key)
    return Replicas(copies, name_of(copies[0]), first)


def in_processes(
    spec: Any,
    processes: int,
    *,
    call_timeout: float | None = None,
    load_timeout: float | None = 600.0,
    batched: bool = True,
    **options: Any,
) -> Replicas:
    """A classifier that as many processes load and answer for; for models that hold on to the interpreter.

    `spec`, `batched`, `options`: as `occlumap.load` takes them; a callable must be one that pickle can carry. What a
    process prints goes where ours does. `call_timeout`, `load_timeout`: seconds that one call, and loading, may take
    (None: any time); after them the process is stopped, ClassifierError raised, and the next call has a new one. The
    processes end with the classifier.

    A script that calls this needs `if __name__ == "__main__":`, as everything that starts Python processes does.

    Raises ArgumentError for what cannot be carried to another process; ClassifierError when one cannot load it.
    """
    count = whole_number("processes", processes, minimum=1)
    limit = None if call_timeout is None else seconds("call_timeout", call_timeout)
    to_load = None if load_timeout is None else seconds("load_timeout", load_timeout)
    wanted = (spec, {"batched": batched, **options})
    copies = [_Process(wanted, limit, to_load) for _ in range(count)]
    abouts = [
        one.start() for one in copies
    ]  # they load side by side: none is waited for before all have begun
    about = abouts[0]()
    for one in copies:
        one.fingerprint = about.get("fingerprint")
    for other in abouts[1:]:
        other()
    if about.pop("prepares"):
        about["prepare"] = copies[0].prepare
    return Replicas(copies, about.pop("name"), about)


def _about(classifier: Any) -> dict[str, Any]:
    found = {key: getattr(classifier, key, None) for key in CARRIED}
    found["fingerprint"] = of_classifier(classifier)
    return {key: value for key, value in found.items() if value is not None}


class _EndedError(ClassifierError):
    """The process is gone."""


class _Process:
    """One process with the classifier in it, started again when it is gone.

    `requests`, `retries`: of a remote service, by all processes there were; None where there is no service.
    `fingerprint`: the first one's, which every other must have; "" while it is not known.
    """

    def __init__(
        self, wanted: tuple[Any, dict[str, Any]], timeout: float | None, load_timeout: float | None
    ) -> None:
        self._wanted, self._timeout, self._load_timeout = wanted, timeout, load_timeout
        self.fingerprint: str | None = ""
        self.requests: int | None = None
        self.retries: int | None = None
        self._earlier = (0, 0)
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def start(self) -> Callable[[], dict[str, Any]]:
        """Start it; gives a function that waits until the classifier is loaded and says what it has."""
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._earlier = (self.requests or 0, self.retries or 0)
        ours, theirs = context.Pipe()
        process = context.Process(target=_answer, args=(theirs,), daemon=True, name="occlumap classifier")
        with _without_ctrl_c():
            process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        weakref.finalize(self, _stop, process, ours)
        try:
            ours.send(self._wanted)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended already: the answer says so
        except Exception as error:
            self._end()
            spec = self._wanted[0]
            named = without_secrets(spec) if isinstance(spec, str) else spec
            raise ArgumentError(
                "expected a classifier that can be carried to another process (a name as occlumap.load takes it, or a "
                f"function of a module; options that are values, or functions of a module), got {named!r:.80}, which "
                f"pickle refuses: {error}"
            ) from error
        return self._loaded

    def _loaded(self) -> dict[str, Any]:
        about: dict[str, Any] = self._received(
            self._load_timeout, "while it loaded the classifier", "load_timeout"
        )
        if self.fingerprint != "" and about.get("fingerprint") != self.fingerprint:
            self._end()
            raise ClassifierError(
                "expected the same classifier in each process, got another: its files changed since the first was "
                "loaded, and scores of both would be mixed; run it again"
            )
        return about

    def __call__(self, batch: NDArray[np.uint8], /) -> Any:
        return self._asked("__call__", batch)

    def prepare(self, batch: NDArray[np.uint8]) -> Any:
        """What the model is given."""
        return self._asked("prepare", batch)

    def _asked(self, method: str, batch: NDArray[np.uint8]) -> Any:
        if self._process is None:
            self.start()()
        try:
            return self._answered(method, batch)
        except _EndedError:  # perhaps between two calls: once more, in a new process
            self.start()()
            return self._answered(method, batch)

    def _answered(self, method: str, batch: NDArray[np.uint8]) -> Any:
        assert self._pipe is not None  # noqa: S101 - only called when it runs
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer says that it ended
            self._pipe.send((method, batch))
        return self._received(self._timeout, f"on a batch of shape {batch.shape}", "call_timeout")

    def _received(self, timeout: float | None, when: str, limit: str) -> Any:
        assert self._pipe is not None  # noqa: S101 - only called when it runs
        try:
            if not self._pipe.poll(timeout):
                raise ClassifierError(
                    f"the classifier gave no answer within {timeout:g} s, {when}; its process was stopped. Raise "
                    f"{limit}" + (", or lower the batch size" if limit == "call_timeout" else "")
                )
            kind, counted, *content = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            code = self._end()
            advice = (
                "killed, as a system does that is short of memory"
                if code is not None and code < 0
                else 'what it said stands above; a script that starts processes needs if __name__ == "__main__":'
            )
            raise _EndedError(
                f"the process of the classifier ended with exit code {code} {when} ({advice})"
            ) from None
        except (
            BaseException
        ):  # no answer in time, or Ctrl-C: what it answers later must not pass for the next one's
            self._end()
            raise
        if counted is not None:
            self.requests, self.retries = (
                one + before for one, before in zip(counted, self._earlier, strict=True)
            )
        if kind == "failed":
            error, text = content
            raise error from ClassifierError(f"in the classifier's process:\n{text}")
        return content[0]

    def _end(self) -> int | None:
        """Stop the process, if there is one; gives its exit code."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is None or pipe is None:
            return None
        process.join(1)  # one that is ending says how
        _stop(process, pipe)
        return process.exitcode


def _stop(process: BaseProcess, pipe: Connection) -> None:
    with contextlib.suppress(Exception):  # at exit, parts of both may be gone
        pipe.close()
        process.kill()
        process.join(5)


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process that is started in here is never interrupted, also not before `_answer`: Ctrl-C is for who asks."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # here: it lets Ctrl-C through again when it has started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(pipe: Connection) -> None:
    """What the process does: load, then answer until the pipe is closed."""
    from occlumap import load

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked by who started us
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            with imports_timed():  # a function's module, where it is one
                spec, options = pipe.recv()
            classifier = load(spec, **options)
            about = {"name": name_of(classifier), "prepares": callable(getattr(classifier, "prepare", None))}
            pipe.send(("loaded", requests_of(classifier), {**about, **_about(classifier)}))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except BaseException as error:  # noqa: BLE001 - sent to who asks
            _send_failure(pipe, None, error)
            return
        while True:
            method, batch = pipe.recv()
            try:
                found = classifier(batch) if method == "__call__" else prepared(classifier, batch)
                answer = found if isinstance(found, np.ndarray | Prepared) else np.asarray(found)
                pipe.send(("answer", requests_of(classifier), answer))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except BaseException as error:  # noqa: BLE001 - sent to who asks
                _send_failure(pipe, requests_of(classifier), error)


def _send_failure(pipe: Connection, counted: tuple[int, int] | None, error: BaseException) -> None:
    """The error as it is where pickle can carry it both ways, else its words."""
    import pickle

    text = "".join(traceback.format_exception(error))
    try:
        carried = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the same line
        if not isinstance(carried, Exception) or str(carried) != str(error):
            raise TypeError  # SystemExit must not end the process that asks
    except Exception:  # noqa: BLE001 - pickle runs the error's own code
        carried = ClassifierError(f"{type(error).__name__}: {error}")
    pipe.send(("failed", counted, carried, text))
