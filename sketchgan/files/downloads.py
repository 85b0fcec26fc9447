"""One file from the network, whole and checked or not there at all: resumed, timed out, redirected with care, verified.

What can go wrong on the way is told apart. A connection that drops or stalls is tried again from where it stopped; a
host that answers with something else (an error, a web page, another size, nonsense) is left for the next mirror; a full
disk ends it at once, and what has arrived stays for the next call. Proxies come from the environment (https_proxy,
no_proxy), as everywhere in urllib. The library pooch knows neither mirrors nor going on with a part.
"""

import contextlib
import hashlib
import http.client
import json
import os
import queue
import re
import shutil
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError
from urllib.parse import urlsplit

from .checks import Filled, Limits, Place, checked
from .places import where_else
from .progress import Progress

TRIES, PAUSE = 4, 1.0              # attempts in a row that bring less than a megabyte; seconds to the second, doubling
TIMEOUT = 30.0                     # seconds at less than a kilobyte a second after which a connection has stalled
MEGABYTE, ENDLESS = 1 << 20, 4 << 30      # ENDLESS: the most that is taken from a host that does not say how much it is
A_PAGE = "a web page came instead of the file (an error, a login, or the question of a virus scanner)"
# How each kind of file begins; '' is any.
MAGIC = {"": (b"",), "zip": (b"PK\x03\x04",), "torch": (b"PK\x03\x04", b"\x80"), "ndjson": (b"{",)}
Kind = Annotated[str, Limits(choices=tuple(MAGIC))]


class DownloadError(OSError):
    """A file could not be had; the message says what was tried and what to do."""


class _Local(DownloadError):
    """The fault is on this side (a full disk): another mirror would not help."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a bounded number of redirects to http and https; never from a protected connection to an open one."""

    max_redirections = 8

    def redirect_request(self, request, file, code, message, headers, url):
        """The request that follows, or DownloadError."""
        if file:
            file.close()                                         # urllib would read all of it, which may never end
        old, new = urlsplit(request.full_url).scheme, urlsplit(url).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            raise DownloadError(f"it redirects from {old} to {new} ({url}), which is not followed")
        return super().redirect_request(request, file, code, message, headers, url)


def sha256(path: str | Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, kind: str = "", digest: str | None = None) -> str:
    """The sha256 of a file that must be of `kind` (a key of MAGIC) and have the sha256 `digest`, where known.

    Raises:
        DownloadError: if it is not, saying what it is instead.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    _check_head(head, kind)
    if head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        raise DownloadError("it begins like a zip file and has no end: it was cut short")
    found = sha256(path)
    if digest is not None and found != digest:
        raise DownloadError(f"its sha256 is {found} instead of {digest}")
    return found


def _check_head(head: bytes, kind: str) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise DownloadError(A_PAGE)
    if not head.startswith(MAGIC[kind]):
        raise DownloadError(f"it is no {kind} file: it begins with {head[:8]!r}")


@checked
def download(urls: Annotated[tuple[str, ...] | list[str], Filled()], path: Place, kind: Kind = "",
             digest: str | None = None, progress: bool = True) -> dict:
    """Fetch `path` from the first of `urls` that gives it; a partial file `path`.part is gone on with.

    Args:
        urls: http or https addresses of the same file, tried in order.
        kind: what it must begin like, a key of MAGIC.
        digest: its sha256 in hexadecimal, where known.
    Returns:
        {url, size, sha256} of what came.
    Raises:
        DownloadError: with one reason for each address; the partial file stays where the reason was the connection.
    """
    path = Path(path)
    partial, note = (path.with_name(path.name + end) for end in (".part", ".part.json"))
    path.parent.mkdir(parents=True, exist_ok=True)
    began, failures = _read(note).get("url"), []
    for url in sorted(urls, key=lambda url: url != began):       # the mirror that has given a part goes on
        transfer = _Transfer(url, partial, note, kind, digest)
        try:
            with Progress(desc=path.name, unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
                transfer.run(bar)
            try:
                found = check(partial, kind, digest)
            except DownloadError:
                transfer.discard()                               # whole, and wrong: nothing to go on from
                raise
        except _Local:
            raise
        except Exception as error:                               # whatever a host brings about, another may do better
            failures.append(f"  {url}: {_reason(error)}")
            continue
        os.replace(partial, path)
        note.unlink(missing_ok=True)
        return {"url": url, "size": path.stat().st_size, "sha256": found}
    raise DownloadError("no address gave it:\n" + "\n".join(failures))


def _read(note: Path) -> dict:
    try:
        return dict(json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text if isinstance(error, OSError) and text else f"its answer is no HTTP ({type(error).__name__}: {text})"


class _Stream:
    """What a host answers, received by a thread: none can make us wait by sending a byte now and then."""

    def __init__(self, opener, request):
        self.items, self.left = queue.Queue(16), threading.Event()
        threading.Thread(target=self._receive, args=(opener, request), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.left.set()

    def _receive(self, opener, request) -> None:
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                self._give(response)
                block = response.read(512)                       # enough to tell what it is
                while block and not self.left.is_set():
                    self._give(block)
                    block = response.read1(1 << 16)
            self._give(b"")
        except BaseException as error:
            self._give(error)

    def _give(self, item) -> None:
        while not self.left.is_set():
            with contextlib.suppress(queue.Full):
                return self.items.put(item, timeout=0.2)

    def answer(self) -> http.client.HTTPResponse:
        """The head of the answer, within twice the time limit: the connection may have taken one already."""
        return self._take(2 * TIMEOUT)

    def blocks(self) -> Iterator[bytes]:
        """The body, as long as it comes at a kilobyte a second."""
        mark, since = time.monotonic(), 0
        while block := self._take(mark + TIMEOUT - time.monotonic(), f"{since:,} bytes"):
            yield block
            since += len(block)
            if since >= 1024 * TIMEOUT:
                mark, since = time.monotonic(), 0

    def _take(self, seconds: float, so_far: str = "no answer"):
        try:
            item = self.items.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError(f"the connection stalled: {so_far} in {TIMEOUT:g} s") from None
        if isinstance(item, BaseException):
            raise item
        return item


class _Transfer:
    """One address and the partial file: `run` returns when all of it has arrived."""

    def __init__(self, url: str, partial: Path, note: Path, kind: str, digest: str | None):
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Local(f"{url} is no http or https address")
        self.url, self.partial, self.note, self.kind, self.digest = url, partial, note, kind, digest
        self.opener = urllib.request.build_opener(_Redirects)

    def have(self) -> int:
        """Bytes that have arrived."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def discard(self) -> None:
        """Forget what has arrived."""
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def run(self, bar: Progress) -> None:
        """Until it is whole; a connection that drops is tried again, while every few attempts bring something."""
        idle, most = 0, self.have()
        while True:
            try:
                return self.attempt(bar)
            except HTTPError as error:
                error.close()
                failure = f"the host answers {error.code} {error.reason}"
                if error.code == 416 and self.have():
                    self.discard()                               # what we have is not a beginning of what is there now
                elif error.code not in (408, 425, 429, 500, 502, 503, 504):
                    raise DownloadError(failure) from error
            except (DownloadError, http.client.InvalidURL):
                raise
            except (OSError, http.client.HTTPException) as error:   # URLError, a dropped connection, a time-out
                failure = _reason(error)
            idle, most = (0 if self.have() - most >= MEGABYTE else idle + 1), max(most, self.have())
            if idle >= TRIES:
                raise DownloadError(f"{failure}, {TRIES} times in a row with {self.have():,} bytes here; the next call "
                                    f"goes on from there")
            time.sleep(PAUSE * 2 ** (idle - 1) if idle else 0)

    def validator(self) -> str | None:
        """What the host must still have for the partial file to be a beginning of it; without one, a sha256 decides."""
        note = _read(self.note)
        strong = note.get("etag") if not str(note.get("etag") or "W/").startswith("W/") else None
        return (strong or note.get("last_modified")) if note.get("url") == self.url else None

    def attempt(self, bar: Progress) -> None:
        """One connection: ask for what is missing, write what comes."""
        old = _read(self.note)
        if not (self.validator() or (self.digest and old.get("url") == self.url)):
            self.discard()
        have = self.have()
        headers = {"User-Agent": "sketchgan", "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": self.validator()} if self.validator() else {})
        with _Stream(self.opener, urllib.request.Request(self.url, headers=headers)) as stream:
            response = stream.answer()
            start, total = self.accept(response, have, old)
            if start == 0:
                about = {"url": self.url, "etag": response.headers["ETag"], "total": total,
                         "last_modified": response.headers["Last-Modified"]}
                self.note.write_text(json.dumps(about))
            bar.total = total
            bar.update(start - bar.n)
            told = total is not None or "chunked" in str(response.headers["Transfer-Encoding"]).lower()
            self.write(stream, start, total, told, bar)
        if total is not None and self.have() < total:
            raise ConnectionError(f"the connection ended after {self.have():,} of {total:,} bytes")

    def accept(self, response, have: int, old: dict) -> tuple[int, int | None]:
        """Where the answer starts and the size of the whole, or DownloadError if it is not what was asked for."""
        headers, encoding = response.headers, response.headers["Content-Encoding"]
        if response.status not in (200, 206) or encoding not in (None, "identity"):
            raise DownloadError(f"the host answers {response.status} with encoding {encoding}; wanted the plain file")
        if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise DownloadError(A_PAGE)
        length = re.fullmatch("[0-9]{1,15}", (headers["Content-Length"] or "").strip())
        start, total = 0, int(length[0]) if length else None
        if response.status == 206:
            found = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)", headers["Content-Range"] or "")
            total = int(found[2]) if found and found[2] != "*" else old.get("total")
            changed = old.get("etag") and headers["ETag"] and old["etag"] != headers["ETag"]
            if not found or int(found[1]) != have or changed or (old.get("total") and total != old["total"]):
                self.discard()
                raise ConnectionError("the file changed at the host while it was fetched; starting again")
            start = have
        free = shutil.disk_usage(self.partial.parent).free
        if total is not None and total - start > free:
            raise _Local(f"{self.partial.parent} has {free:,} bytes free and {total - start:,} are to come; make room, "
                         f"or {where_else(self.partial)}")
        return start, total

    def write(self, stream: _Stream, start: int, total: int | None, told: bool, bar: Progress) -> None:
        """Append what comes to the partial file, or begin it anew where the host starts at 0."""
        most = total or min(ENDLESS, shutil.disk_usage(self.partial.parent).free // 2)
        # Unbuffered, so that a full disk speaks here and a killed process leaves exactly what had arrived.
        with open(self.partial, "r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            for block in stream.blocks():
                if file.tell() == 0:
                    _check_head(block, self.kind)
                    # A zip says itself where it ends; of other files nobody could tell that this is all.
                    if not (told or self.digest or block.startswith(b"PK\x03\x04")):
                        raise DownloadError("the host does not say how long the file is, so that a part of it would "
                                            "look like all of it")
                self.put(file, block)
                bar.update(len(block))
                if file.tell() > most:
                    file.truncate(0)
                    raise DownloadError(f"it sends more than {most:,} bytes and no end: it is another file")
            os.fsync(file.fileno())

    def put(self, file, block: bytes) -> None:
        """Write all of a block, or say that the disk does not take it."""
        left = memoryview(block)
        try:
            while left:
                left = left[file.write(left):]
        except OSError as error:
            raise _Local(f"could not write {self.partial}: {error.strerror}; make room, or {where_else(self.partial)}."
                         f" What has arrived stays, and the next call goes on from there") from error
