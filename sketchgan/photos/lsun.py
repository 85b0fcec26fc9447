"""LSUN's databases, read page by page: LMDB files (Chu, https://www.symas.com/lmdb) of 64-bit little-endian machines.

The library `lmdb` maps such a file into memory and believes every number in it, so that a file that was cut short or
damaged ends the process without a word (SIGBUS). Here each number is held against the file before it is used, nothing
is mapped, and a database that lies unpacked inside a zip is read in place.
"""
import bisect
import struct
from collections.abc import Iterator
from pathlib import Path

MAGIC = 0xBEEFC0DE
# Of a meta page: magic, version, then (page size or padding, flags, depth, pages of three kinds, entries, root) of the
# list of free pages and of the database itself, then the last page in use and the number of the transaction.
META = struct.Struct("<16xII16xIHH5QIHH5QQQ")
BRANCH, LEAF = 1, 2                    # flags of pages
ELSEWHERE, DATABASE = 1, 2             # flags of nodes: the value fills pages of its own; it is a database, no value


class LmdbError(ValueError):
    """A file is no LMDB that can be read, or not the whole of one."""


class Lmdb:
    """The one in the file `path`, from byte `start` on for `size` bytes.

    Raises:
        LmdbError: if it is none, or shorter than it says itself.
    """

    def __init__(self, path: Path, start: int = 0, size: int | None = None):
        self.file, self.start, self.size = open(path, "rb"), start, size
        if size is None:
            self.size = self.file.seek(0, 2) - start
        self.page, metas = 0, []
        for number in (0, 1):
            magic, version, page, *_, flags, _, _, _, _, entries, root, last, transaction = META.unpack(
                self._bytes(number * self.page, META.size))
            self.page = self.page or page
            if magic != MAGIC or version != 1 or not 256 <= self.page <= 1 << 16:
                raise LmdbError("it does not begin like an LMDB of version 1")
            metas.append((transaction, last, root, entries, flags))
        # The state after the newest transaction counts; the other one is what it replaced.
        _, self.last, self.root, self.entries, flags = max(metas)
        if (promised := (self.last + 1) * self.page) > self.size:
            raise LmdbError(f"it has {self.size:,} bytes, and its own head speaks of {promised:,}: it was cut short")
        if flags:
            raise LmdbError(f"it was made with the options {flags:#x}; only one value a key, sorted by bytes, is read")

    def keys(self) -> Iterator[bytes]:
        """All of them, sorted, without touching a value."""
        ahead, seen = ([self.root] if self.entries else []), set()
        while ahead:
            number = ahead.pop()
            if number in seen:
                raise LmdbError(f"its page {number} is linked twice: it is damaged")
            seen.add(number)
            leaf, nodes = self._nodes(number)
            if leaf:
                yield from (key for key, *_ in nodes)
            else:
                ahead += [child for _, child, *_ in reversed(nodes)]

    def value(self, key: bytes, most: int) -> bytes:
        """Of a key; LmdbError if there is none, or it has more than `most` bytes, or the file is damaged there."""
        number = self.root
        for _ in range(32):                                      # levels; LMDB itself allows no more
            leaf, nodes = self._nodes(number)
            keys = [node[0] for node in nodes]
            if leaf:
                break
            number = nodes[bisect.bisect_right(keys, key, 1) - 1][1]     # a branch's first key stands for all below
        at = bisect.bisect_left(keys, key)
        if not leaf or at == len(keys) or keys[at] != key:
            raise LmdbError("no such key")
        _, size, flags, place = nodes[at]
        if flags & DATABASE:
            raise LmdbError("a database within the database, which is not read")
        if size > most:
            raise LmdbError(f"too large: {size:,} bytes, {most:,} are read at most")
        if flags & ELSEWHERE:
            place = int.from_bytes(self._bytes(place, 8), "little") * self.page + 16
        return self._bytes(place, size)

    def _nodes(self, number: int) -> tuple[bool, list[tuple]]:
        """Whether a page is a leaf, and its nodes: (key, size, flags, place) of a leaf, else (key, child page)."""
        page = self._bytes(number * self.page, self.page) if number <= self.last else b""
        try:
            kind, used = struct.unpack_from("<10xHH", page)
            if kind & 0xF not in (BRANCH, LEAF):
                raise LmdbError(f"its page {number} is of no known kind: it is damaged")
            nodes = []
            for at in struct.unpack_from(f"<{max(0, used - 16) // 2}H", page, 16):
                low, high, flags, length = struct.unpack_from("<4H", page, at)
                key, size = page[at + 8:at + 8 + length], low | high << 16
                node = (size, flags, number * self.page + at + 8 + length) if kind & LEAF else (size | flags << 32,)
                nodes.append((key, *node))
        except struct.error as error:
            raise LmdbError(f"its page {number} is damaged ({error})") from error
        if not nodes:
            raise LmdbError(f"its page {number} is empty: it is damaged")
        return bool(kind & LEAF), nodes

    def _bytes(self, place: int, size: int) -> bytes:
        if place + size > self.size:
            raise LmdbError(f"it has {self.size:,} bytes, and speaks of {place + size:,}: it was cut short or damaged")
        self.file.seek(self.start + place)
        return self.file.read(size)
