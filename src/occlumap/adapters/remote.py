"""A classifier behind HTTP: images go out as PNG, scores come back as JSON; retried, counted, with time-outs."""

import base64
import contextlib
import functools
import hashlib
import html
import io
import json
import logging
import os
import queue
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from itertools import repeat
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._addresses import without_secrets
from occlumap._checks import one_of, seconds, whole_number
from occlumap._extras import from_extra
from occlumap._fingerprints import Complete
from occlumap.adapters.callables import class_tuple
from occlumap.adapters.preprocessing import checked
from occlumap.errors import ArgumentError, ClassifierError

FORMATS = ("json", "multipart")
WAIT = 0.25
"""Seconds before the first retry; each next waits twice as long, to LONGEST_WAIT, less a random part of it."""
LONGEST_WAIT = 30.0
SHORTEST_SECRET = 4
"""Letters, of all but a password: shorter ones (v=2) are in many an answer by chance, and would make it unreadable."""
ORDINARY_HEADERS = (
    *(
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    ),
    "user-agent",
)

LARGEST_ANSWER = 2**26
"""Bytes, unpacked; scores of many images and classes take a hundredth of that."""

PACKED = ("gzip", "deflate", "br", "zstd")
"""Content encodings that httpx unpacks, a part of an answer at once: one of the first two alone cannot fill memory."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_THREAD = "occlumap answer"
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

Encode = Callable[[NDArray[np.uint8]], Mapping[str, Any]]
Decode = Callable[[Any], ArrayLike]


class Remote:
    """A classifier behind HTTP; see `from_url`. Pickling carries no open connection.

    `requests`, `retries`: how many were sent, and how many of them again. `name`: the address without user, password
    and query.
    """

    def __init__(
        self,
        url: str,
        *,
        format: str = "json",  # noqa: A002 - the word for it
        images_per_request: int = 16,
        concurrency: int = 4,
        attempts: int = 6,
        timeout: float = 30.0,
        token_env: str | None = None,
        classes: tuple[str, ...] | list[str] | None = None,
        input_size: tuple[int, int] | None = None,
        encode: Encode | None = None,
        decode: Decode | None = None,
        fingerprint: str | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ArgumentError(
                f"expected an address that begins with http:// or https://, got {without_secrets(str(url))!r}"
            )
        try:
            _ = parts.port
        except ValueError:
            raise ArgumentError(
                "expected a port from 0 to 65535, or none, in the address, and in a password %2F for /, got "
                f"{without_secrets(str(url))!r}"
            ) from None
        for hook, given in (("encode", encode), ("decode", decode)):
            if given is not None and not callable(given):
                raise ArgumentError(
                    f"expected {hook} to be a function, got {given!r:.80}; on the command line name a classifier that "
                    "has it: classifier = occlumap.adapters.from_url(...) in my_model.py is my_model:classifier"
                )
        self._url = url
        self.name = without_secrets(url)
        self._encode = encode or _ENCODERS[one_of("format", format, FORMATS)]
        self._decode = decode or _scores_of_json
        self._images_per_request = whole_number("images_per_request", images_per_request, minimum=1)
        self._concurrency = whole_number("concurrency", concurrency, minimum=1)
        self._attempts = whole_number("attempts", attempts, minimum=1)
        self._timeout = seconds("timeout", timeout)
        if token_env is not None and (not isinstance(token_env, str) or not token_env):
            raise ArgumentError(
                f"expected token_env to be the name of an environment variable, got {token_env!r}"
            )
        if token_env is not None and parts.username is not None:
            raise ArgumentError(
                f"expected either a user in the address or token_env, got both for {without_secrets(url)}: one request "
                "has one Authorization"
            )
        self._token_env = token_env
        if fingerprint is not None:
            if not isinstance(fingerprint, str) or not fingerprint:
                raise ArgumentError(
                    "expected fingerprint to be a text that changes whenever the service's scores may, got "
                    f"{fingerprint!r}"
                )
            # with the whole address: one path may serve several models, told apart by the query
            mark = hashlib.sha256(f"{url}\0{fingerprint}".encode()).hexdigest()
            # hooks decide, too, and are in a module of the user's
            self.fingerprint = mark if encode is not None or decode is not None else Complete(mark)
        if classes is not None:
            self.classes = class_tuple(classes)
        if input_size is not None:
            sides = list(input_size) if isinstance(input_size, tuple | list) else [input_size]
            if len(sides) != 2:
                raise ArgumentError(f"expected input_size as (height, width), got {input_size!r:.80}")
            height, width = (whole_number("input_size", side, minimum=1) for side in sides)
            self.input_size = (height, width)
        self.requests = self.retries = 0
        self._begin()
        from_extra("remote", "httpx", "this classifier")
        self._headers()  # a secret that is not there is told now

    def __call__(self, batch: NDArray[np.uint8], /) -> NDArray[np.float64]:
        """Scores (n, classes) of uint8 (n, H, W, 3): in order, each image's from one answer.

        Raises ClassifierError when a request fails for good, or as often as `attempts`.
        """
        pixels = checked(batch)
        parts = [
            pixels[at : at + self._images_per_request]
            for at in range(0, len(pixels), self._images_per_request)
        ]
        over = threading.Event()
        if len(parts) == 1 or self._concurrency == 1:
            rows = [self._ask(part, over) for part in parts]
        else:
            pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="occlumap request")
            try:
                rows = list(pool.map(self._ask, parts, repeat(over)))
            finally:  # Ctrl-C, or a part that failed, waits for no other
                over.set()
                pool.shutdown(wait=False, cancel_futures=True)
        widths = {one.shape[1] for one in rows}
        if len(widths) > 1:
            raise ClassifierError(
                f"expected as many scores in each answer of {self.name}, got {sorted(widths)}"
            )
        return np.concatenate(rows)

    def prepare(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What goes out: the pixels themselves, as PNG."""
        return checked(batch)

    def _ask(self, images: NDArray[np.uint8], over: threading.Event) -> NDArray[np.float64]:
        """One part's scores; tried again after what may pass, until nobody waits for them any more."""
        httpx = from_extra("remote", "httpx", "this classifier")
        problem, wait = "", 0.0
        for attempt in range(self._attempts):
            if attempt and over.wait(wait):
                break
            with self._lock:
                self.requests += 1
                self.retries += attempt > 0
            wait = min(LONGEST_WAIT, WAIT * 2**attempt) * (1 - random.random() / 2)  # noqa: S311 - to spread, not to hide
            try:
                response = self._in_time(images)
            except httpx.LocalProtocolError as error:  # it cannot be sent, now or later
                raise ClassifierError(
                    f"expected a request that can be sent to {self.name}, got {type(error).__name__}: "
                    f"{self._hushed(str(error), _request_of(error))}; see its headers and token"
                ) from None
            except httpx.RequestError as error:
                # refused, dropped, timed out, a body that is not what it says
                problem = f"{type(error).__name__}: {self._hushed(str(error), _request_of(error))}"
                continue
            if response.status_code == 429 or response.status_code >= 500:
                told = self._hushed(response.text.strip(), response.request).partition("\n")[0]
                problem = f"status {response.status_code}{f': {told!r}' if told else ''}"
                wait = max(wait, _seconds(response.headers.get("Retry-After")))
                continue
            if response.status_code != 200:
                told, place = (
                    self._hushed(one, response.request) for one in (response.text, _whereto(response))
                )
                raise ClassifierError(
                    f"expected status 200 from {self.name}, got {response.status_code}{place}: {told!r}; such "
                    "an answer does not pass by trying again: check the address, the secret and the format"
                )
            try:
                scores = _numbers(self._decode(response))
            except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
                told = self._hushed(response.text, response.request)
                problem = f"an answer that is no scores ({type(error).__name__}): {told!r}"
                continue
            if scores.ndim != 2 or len(scores) != len(images) or not scores.shape[1]:
                problem = f"scores of shape {scores.shape} for {len(images)} images"
            elif not np.isfinite(scores).all():
                problem = f"{scores[~np.isfinite(scores)][0]} among the scores, which must be finite"
            else:
                return scores
        raise ClassifierError(
            f"expected scores of shape ({len(images)}, classes) from {self.name}, got {problem}, the last of "
            f"{self._attempts} attempts; see that the service runs, and what it says of itself (its log)"
        )

    def _headers(self) -> dict[str, str]:
        if self._token_env is None:
            return {}
        token = os.environ.get(self._token_env)
        if not token and not _VARIABLE.fullmatch(self._token_env):
            raise ArgumentError(
                f"expected token_env to be the name of the environment variable with the secret for {self.name}, "
                "such as MY_TOKEN, got none that is set; it may be the secret itself, and is not shown"
            )
        if not token:
            raise ArgumentError(
                f"expected the secret for {self.name} in the environment variable {self._token_env}, which is not set"
            )
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ArgumentError(
                f"expected the secret in {self._token_env} to be one line of plain letters without spaces; it has "
                "another character, perhaps the end of a line"
            )
        return {"Authorization": f"Bearer {token}"}

    def _request(self, images: NDArray[np.uint8]) -> dict[str, Any]:
        """Keyword arguments of httpx's `post`; ClassifierError for what `encode` must not give."""
        encoded = self._encode(images)
        if not isinstance(encoded, Mapping):
            raise ClassifierError(
                f"expected encode to give keyword arguments of httpx's post, such as {{'json': ...}}, got "
                f"{type(encoded).__name__}"
            )
        try:
            headers = from_extra("remote", "httpx", "this classifier").Headers(encoded.get("headers"))
        except (
            UnicodeEncodeError,
            TypeError,
            ValueError,
        ) as error:  # which tells the value, a secret perhaps
            raise ClassifierError(
                "expected the headers of encode as names and values of plain letters, got others "
                f"({type(error).__name__})"
            ) from None
        ours = "token_env" if self._token_env is not None else "a user in the address"
        own = "authorization" in headers or encoded.get("auth") is not None
        if own and (self._token_env is not None or urlsplit(self._url).username is not None):
            raise ClassifierError(
                f"expected either {ours} or an Authorization by encode, got both for {self.name}: one request has one"
            )
        headers.update(self._headers())
        headers.setdefault("Accept-Encoding", "identity")  # numbers are short
        return {"timeout": self._timeout, **encoded, "headers": headers}

    def _in_time(self, images: NDArray[np.uint8]) -> Any:
        """The whole answer, or httpx's time-out: httpx itself counts the time for each part of an answer anew."""
        httpx = from_extra("remote", "httpx", "this classifier")
        request, outcome = self._request(images), queue.SimpleQueue[tuple[Any, BaseException | None]]()

        def ask(client: Any) -> None:
            try:
                outcome.put((self._post(client, request), None))
            except BaseException as error:  # noqa: BLE001 - raised where it was asked
                outcome.put((None, error))

        client = self._clients.get()
        try:
            client = client or httpx.Client(verify=_trusted())
            # a thread of its own: nothing else ends a request whose headers drip in; it keeps no program from ending
            threading.Thread(target=ask, args=(client,), name=_THREAD, daemon=True).start()
            response, error = outcome.get(timeout=self._timeout)
        except BaseException as error:  # its connection ends: the next request has one of its own
            if client is not None:
                client.close()
            client = None
            if isinstance(error, queue.Empty):
                raise httpx.ReadTimeout(f"no whole answer within {self._timeout:g} s") from None
            raise
        finally:
            self._clients.put(client)
        if error is not None:
            raise error
        return response

    def _post(self, client: Any, request: dict[str, Any]) -> Any:
        httpx = from_extra("remote", "httpx", "this classifier")
        until = time.monotonic() + self._timeout
        try:
            answer = client.stream("POST", self._url, **request)
        except TypeError as error:
            raise ClassifierError(
                f"expected encode to give keyword arguments of httpx's post: {error}"
            ) from error
        with contextlib.ExitStack() as opened:
            try:
                response = opened.enter_context(answer)
            except (TypeError, ValueError, AttributeError) as error:  # which may tell a secret
                given = ", ".join(f"{key}: {type(value).__name__}" for key, value in request.items())
                raise ClassifierError(
                    f"expected encode to give what httpx's post takes, got {given} ({type(error).__name__}); auth, for "
                    "one, is a pair (user, password)"
                ) from None
            told = response.headers.get_list("Content-Encoding", split_commas=True)
            packed = [one.strip().lower() for one in told if one.strip().lower() in PACKED]
            if len(packed) > 1 or not set(packed) <= {"gzip", "deflate"}:
                raise ClassifierError(
                    f"expected an answer as it is, or packed once, by gzip or deflate, from {self.name}, got one "
                    f"packed by {', '.join(packed[:4])}; a short one could fill the memory. See what answers there"
                )
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > LARGEST_ANSWER:
                    raise ClassifierError(
                        f"expected an answer of {LARGEST_ANSWER >> 20} MB at most from {self.name}, got a larger one; "
                        "see what answers there, or ask for fewer images at once (images_per_request)"
                    )
                if time.monotonic() > until:
                    raise httpx.ReadTimeout(f"no whole answer within {self._timeout:g} s")
            kept = [
                (key, value)
                for key, value in response.headers.multi_items()
                if key.lower() not in ("content-encoding", "content-length", "transfer-encoding")
            ]  # it is decoded already
            return httpx.Response(
                response.status_code, headers=kept, content=b"".join(parts), request=response.request
            )

    def _hushed(self, text: str, request: Any = None) -> str:
        """The beginning of what a service said, without our secrets if it repeats them, each by itself."""
        secrets = sorted(self._secrets(request), key=len, reverse=True)  # one may hold another
        for secret in secrets:
            text = text.replace(secret, "...")
        plain = text
        for _ in range(3):  # JSON in JSON, HTML, an address: each writes letters in ways of its own
            plain = unquote(html.unescape(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), plain)))
            plain = plain.replace("\\/", "/").replace('\\"', '"').replace("\\\\", "\\")
            if any(secret.casefold() in plain.casefold() for secret in secrets):
                return "(an answer that repeats a secret)"
        return text[:200]

    def _secrets(self, request: Any) -> set[str]:
        """User, password, query, its values, and the headers of our own: as they were sent and as they read."""
        headers = list(self._headers().items()) if request is None else request.headers.multi_items()
        values, passwords = [], []
        for url in {self._url, self._url if request is None else str(request.url)}:
            address = urlsplit(url)
            values += [address.query, *(part.partition("=")[2] for part in address.query.split("&"))]
            values.append(address.username or "")
            passwords.append(address.password or "")
        for key, value in headers:
            if key.lower() not in ORDINARY_HEADERS:
                kind, _, secret = value.partition(" ")  # Bearer ..., Basic ...
                values += [value, secret, *re.split(r'[\s;,="]+', value)]  # cookies, Token token="..."
                if kind.lower() == "basic":
                    with contextlib.suppress(ValueError):  # it is no base64
                        user, _, password = base64.b64decode(secret + "===").decode().partition(":")
                        values.append(user)
                        passwords.append(password)
        values = [one for one in values if len(one) >= SHORTEST_SECRET] + passwords
        read = {said for one in values for said in (one, one.strip(), unquote(one), unquote_plus(one))}
        read |= {base64.b64encode(one.encode()).decode().rstrip("=") for one in read if one}
        # as Python and JSON write them, too
        return {said for one in read for said in (one, repr(one)[1:-1], json.dumps(one)[1:-1]) if said}

    def _begin(self) -> None:
        """A lock, and a client or None for each request that may be under way, shared by all threads that call."""
        self._lock, self._clients = threading.Lock(), queue.LifoQueue[Any]()
        for _ in range(self._concurrency):
            self._clients.put(None)
        logging.getLogger("httpx").addFilter(_without_secrets)  # once, however often it is added
        weakref.finalize(self, _close, self._clients)  # their connections end with the classifier

    def __repr__(self) -> str:
        return f"<Remote {self.name}: {self.requests} requests, {self.retries} of them retries>"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_clients", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


def from_url(url: str, **options: Any) -> Remote:
    """The classifier that answers at `url` (extra `remote`).

    Contract, format "json": POST {"images": [base64 of a PNG, ...]}; "multipart": POST files named `images`. The
    answer to both is 200 and {"scores": [[number, ...], ...]}, a row for each image, in order. For another service
    give `encode`, a function of uint8 (n, H, W, 3) to keyword arguments of httpx's `post`, and `decode`, one of the
    response to scores (n, classes).

    `images_per_request` (16), `concurrency`: requests at once (4), of all threads together. `attempts` (6): connection
    faults, time-outs, 429 (Retry-After is heeded), 5xx and answers that are no scores are tried again, after 0.25, 0.5,
    1 ... seconds less a random part; any other status ends the run. `timeout`: seconds for connecting, and for each
    whole answer (30). `token_env`: the environment variable whose value is sent as `Authorization: Bearer`; neither it
    nor user, password and query of the address come into results. `classes`, `input_size` ((height, width)) when they
    are known. `fingerprint`: the version of what answers, a text that changes whenever its scores may; only then the
    command line keeps its scores.

    Raises MissingDependencyError without httpx, ArgumentError for options that cannot be and a secret that is not set.
    """
    for key in options:
        if key not in OPTIONS:
            from occlumap._checks import nearest

            raise ArgumentError(
                f"expected only {', '.join(OPTIONS)} for a URL, got {key!r}{nearest(key, OPTIONS)}"
            )
    return Remote(url, **options)


OPTIONS = (
    "format",
    "images_per_request",
    "concurrency",
    "attempts",
    "timeout",
    "token_env",
    "classes",
    "input_size",
    "encode",
    "decode",
    "fingerprint",
)


@functools.cache
def _trusted() -> Any:
    """Certificates, read once for all clients."""
    return from_extra("remote", "httpx", "this classifier").create_ssl_context()


def _close(clients: "queue.LifoQueue[Any]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            client = clients.get_nowait()
            if client is not None:
                client.close()


def _without_secrets(record: logging.LogRecord) -> bool:
    """A filter of httpx's log, which tells the whole address of each request: of ours only what may be told."""
    if record.threadName == _THREAD and isinstance(record.args, tuple):
        record.args = tuple(
            without_secrets(str(one)) if type(one).__name__ == "URL" else one for one in record.args
        )
    return True


def _whereto(response: Any) -> str:
    place = re.split(r"[?#]", response.headers.get("Location", ""), maxsplit=1)[0]
    return f" to {without_secrets(place)}" if place and response.status_code in range(300, 400) else ""


def png(image: NDArray[np.uint8]) -> bytes:
    """`image`, uint8 (H, W, 3), as a PNG file, free of loss."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _as_json(images: NDArray[np.uint8]) -> dict[str, Any]:
    return {"json": {"images": [base64.b64encode(png(image)).decode() for image in images]}}


def _as_multipart(images: NDArray[np.uint8]) -> dict[str, Any]:
    return {
        "files": [
            ("images", (f"{number}.png", png(image), "image/png")) for number, image in enumerate(images)
        ]
    }


_ENCODERS: dict[str, Encode] = {"json": _as_json, "multipart": _as_multipart}


def _scores_of_json(response: Any) -> ArrayLike:
    scores: ArrayLike = response.json()["scores"]
    return scores


def _request_of(error: Any) -> Any:
    """What was asked for when httpx raised; None where it does not say."""
    try:
        return error.request
    except RuntimeError:
        return None


def _numbers(decoded: ArrayLike) -> NDArray[np.float64]:
    """`decoded` as numbers; ValueError for texts and truth values, which NumPy would take for some."""
    values = np.asarray(decoded)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"an array of {values.dtype}, not of numbers")
    return values.astype(np.float64)


def _seconds(header: str | None) -> float:
    """Retry-After in seconds, also of a date, at most LONGEST_WAIT; 0 for none."""
    text = (header or "0").strip()
    try:
        wait = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(LONGEST_WAIT, max(0.0, wait))
