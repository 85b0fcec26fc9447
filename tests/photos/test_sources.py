"""Folders, zips and LMDBs give the same pictures by the same calls; what is hostile or missing is said."""
import os
import random
import struct
import zipfile

import pytest

from sketchgan.photos import sources
from sketchgan.photos.pictures import PictureError
from sketchgan.photos.sources import open_source
from tests.fuzz import assert_survives, peak

FILES = {"a/1.png": b"one", "a/2.png": b"two", "b.png": b"three"}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    return tmp_path / "photos"


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_lmdb(path, values):
    lmdb = pytest.importorskip("lmdb")
    path.mkdir(parents=True)
    with lmdb.open(str(path), map_size=1 << 24) as base, base.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return path


def test_the_same_from_folder_zip_and_lmdb(folder, tmp_path):
    found = [open_source(folder), open_source(make_zip(tmp_path / "photos.zip", FILES)),
             open_source(make_lmdb(tmp_path / "lsun", {name.encode(): data for name, data in FILES.items()}))]
    for source in found:
        names = [name.replace("%2F", "/") for name, _ in source.list()]
        assert names == sorted(FILES) and len(source.list(limit=2)) == 2
        assert {name.replace("%2F", "/"): source.read(name) for name, _ in source.list()} == FILES
    assert [type(source).__name__ for source in found] == ["Folder", "Zip", "Database"]


def test_listings_change_with_the_files(folder, tmp_path):
    before = open_source(folder).list()
    (folder / "b.png").write_bytes(b"longer than it was")
    assert [a == b for a, b in zip(before, open_source(folder).list())] == [True, True, False]
    first = open_source(make_zip(tmp_path / "1.zip", FILES)).list()
    assert first != open_source(make_zip(tmp_path / "2.zip", {**FILES, "b.png": b"THREE"})).list()


def test_lmdb_keys_may_be_any_bytes(tmp_path):
    source = open_source(make_lmdb(tmp_path / "lsun", {b"\xff\x00/%": b"odd"}))
    (name, _), = source.list()
    assert source.read(name) == b"odd" and name.isascii()


def test_what_cannot_be_read_has_a_reason(folder, tmp_path, monkeypatch):
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    source = open_source(folder)
    for name, reason in (("gone.png", "cannot be read: No such file"), ("pipe.png", "not a regular file")):
        assert name in dict(source.list())
        with pytest.raises(PictureError, match=reason):
            source.read(name)
    whole = make_zip(tmp_path / "a.zip", {"../out.png": b"bad", "good.png": bytes(range(256)) * 9}).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole.replace(bytes(range(100, 120)), b"spoilt bytes in here"))
    archive = open_source(tmp_path / "a.zip")
    with pytest.raises(PictureError, match="not read from the zip: its path leaves the folder"):
        archive.read("../out.png")
    with pytest.raises(PictureError, match="damaged in the zip"):
        archive.read("good.png")
    monkeypatch.setattr(sources, "MAX_BYTES", 4)
    for source, name in ((open_source(folder), "b.png"), (archive, "good.png"),
                         (open_source(make_lmdb(tmp_path / "lsun", {b"k": b"value"})), "k")):
        with pytest.raises(PictureError, match="too large: .* bytes, 4 are read at most"):
            source.read(name)


def test_what_is_no_source_is_explained(tmp_path):
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "short.zip").write_bytes(b"PK\x03\x04 and nothing")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "data.mdb").write_bytes(b"no such thing" * 100)
    pytest.importorskip("lmdb")
    for path, message in (("nothing", "is not there: it is no folder of pictures, no zip, and no LSUN LMDB"),
                          ("file.txt", "a file of another kind"),
                          ("short.zip", "not a whole zip"), ("base", "no LMDB that can be read")):
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / path)


def test_links_are_followed_and_no_folder_is_read_twice(folder, tmp_path):
    """Linked folders used to be skipped without a word."""
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "deep" / "c.png").write_bytes(b"four")
    (folder / "0").symlink_to(folder / "a")
    (folder / "cats").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "deep" / "back").symlink_to(folder)
    source = open_source(folder)
    assert [name for name, _ in source.list()] == ["a/1.png", "a/2.png", "b.png", "cats/deep/c.png"]
    assert source.read("cats/deep/c.png") == b"four"
    assert dict(source.left_out) == {name: "a link to a folder that is read already"
                                     for name in ("0/", "cats/deep/back/")}


def test_folders_that_cannot_be_read_and_archives_among_pictures_are_listed(folder, monkeypatch):
    make_zip(folder / "more.ZIP", FILES)
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("a/"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)
    monkeypatch.setattr(sources.os, "scandir", lambda path: refuse(f"{path}/"))
    source = open_source(folder)
    assert [name for name, _ in source.list()] == ["b.png"]
    assert dict(source.left_out) == {"a/": "a folder that cannot be read: Permission denied",
                                     "more.ZIP": "a zip or an LMDB among pictures: pass its own path to read it"}


def test_lsun_as_people_have_it(folder, tmp_path):
    """The LMDB's folder, the file in it, the folder above it, and the zip as it is downloaded."""
    base = make_lmdb(tmp_path / "lsun" / "church_lmdb", {b"%04d" % k: bytes([k]) * 5000 for k in range(40)})
    with zipfile.ZipFile(tmp_path / "church.zip", "w") as archive:
        archive.writestr("church_lmdb/readme.txt", b"about")
        archive.write(base / "data.mdb", "church_lmdb/data.mdb")
        archive.write(base / "lock.mdb", "church_lmdb/lock.mdb")
    (tmp_path / "single.mdb").write_bytes((base / "data.mdb").read_bytes())
    for path in (base, base / "data.mdb", tmp_path / "lsun", tmp_path / "church.zip", tmp_path / "single.mdb"):
        source = open_source(path)
        assert [name for name, _ in source.list()] == [f"{k:04d}" for k in range(40)]
        assert source.read("0007") == b"\7" * 5000
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(base / "data.mdb", "church_lmdb/data.mdb")
    with pytest.raises(ValueError, match="unpack it with `unzip .*packed.zip` and pass the folder"):
        open_source(tmp_path / "packed.zip")
    make_lmdb(tmp_path / "lsun" / "tower_lmdb", {b"k": b"v"})
    with pytest.raises(ValueError, match="holds several LMDBs .church_lmdb, tower_lmdb.; pass one"):
        open_source(tmp_path / "lsun")
    (tmp_path / "lsun" / "a.png").write_bytes(b"one")
    assert [name for name, _ in open_source(tmp_path / "lsun").list()][-1] == "tower_lmdb/lock.mdb"


def test_of_several_sizes_of_a_picture_the_largest_counts(tmp_path):
    sizes = {f"{size}-{k:05d}".encode(): b"%d" % size for size in (64, 128, 256) for k in range(3)}
    source = open_source(make_lmdb(tmp_path / "lsun", {**sizes, b"length": b"3", b"512-00009": b"512"}))
    assert [name for name, _ in source.list()] == ["256-00000", "256-00001", "256-00002", "512-00009", "length"]
    assert len(source.left_out) == 6
    assert ("64-00001", "a smaller copy: of the same picture as 256-00001") in source.left_out


def test_an_lmdb_that_this_process_has_open_is_read(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    make_lmdb(tmp_path / "lsun", {b"k": b"value"})
    with lmdb.open(str(tmp_path / "lsun"), readonly=True):
        assert open_source(tmp_path / "lsun").read("k") == b"value"


def test_a_large_lmdb_of_random_keys_is_read_as_the_library_reads_it(tmp_path):
    lmdb, draw, truth = pytest.importorskip("lmdb"), random.Random(0), {}
    with lmdb.open(str(tmp_path), map_size=1 << 28) as base:
        for _ in range(3):                                       # branches, pages of their own, pages freed again
            with base.begin(write=True) as transaction:
                for _ in range(800):
                    key, value = draw.randbytes(draw.randrange(1, 60)), draw.randbytes(1) * draw.randrange(6000)
                    transaction.put(key, value)
                    truth[key] = value
            with base.begin(write=True) as transaction:
                for key in draw.sample(sorted(truth), 300):
                    transaction.delete(key)
                    del truth[key]
    base = sources.Lmdb(tmp_path / "data.mdb")
    assert list(base.keys()) == sorted(truth) and all(base.value(key, 6000) == value for key, value in truth.items())
    with pytest.raises(sources.LmdbError, match="no such key"):
        base.value(b"", 6000)
    make_lmdb(tmp_path / "empty", {})
    assert open_source(tmp_path / "empty").list() == []


def test_a_truncated_lmdb_is_refused_before_it_is_read(tmp_path):
    """It used to end the process: SIGBUS."""
    data = (make_lmdb(tmp_path / "lsun", {b"%04d" % k: bytes(3000) for k in range(100)}) / "data.mdb").read_bytes()
    for size in (0, 100, 5000, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.mdb").write_bytes(data[:size])
        with pytest.raises(ValueError, match="no LMDB that can be read .*it was cut short.*; fetch it again"):
            open_source(tmp_path / "cut.mdb")


def everything(path):
    """What a preparation does with a source: list it, and read all that it can; ValueError if that is nothing."""
    source, read = open_source(path), 0
    for name, _ in source.list():
        try:
            read += bool(source.read(name))
        except PictureError:
            pass
    if not read:
        raise ValueError(f"{path} holds nothing that can be read")


def test_mutants_of_an_lmdb_and_of_zips_are_survived(tmp_path):
    base = make_lmdb(tmp_path / "lsun", {b"%04d" % k: bytes([k]) * 90 * k for k in range(100)})
    data = (base / "data.mdb").read_bytes()
    assert_survives(everything, "m.mdb", data, ValueError, tmp_path)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "whole.zip", "w", method) as archive:
            for k in range(9):
                archive.writestr(f"{k}.png", random.Random(k % 5).randbytes(300) * (k + 1))
        assert_survives(everything, "m.zip", (tmp_path / "whole.zip").read_bytes(), ValueError, tmp_path,
                        300 if method else 100)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_one_damaged_member_costs_that_member(tmp_path, method):
    """A damaged LZMA member used to end the preparation of all the others."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name in "abc":
            archive.writestr(f"{name}.png", random.Random(name).randbytes(2000))
        middle = archive.infolist()[1].header_offset
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[middle + 45:middle + 400] = bytes(355)
    (tmp_path / "a.zip").write_bytes(data)
    source = open_source(tmp_path / "a.zip")
    assert len(source.read("a.png")) == len(source.read("c.png")) == 2000
    with pytest.raises(PictureError, match="damaged in the zip: "):
        source.read("b.png")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_lies_about_its_size_takes_no_more_memory_than_it_says(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", method) as archive, archive.open("a.png", "w") as member:
        for _ in range(120):
            member.write(bytes(1 << 20))
    data = (tmp_path / "bomb.zip").read_bytes()
    (tmp_path / "bomb.zip").write_bytes(data.replace(struct.pack("<I", 120 << 20), struct.pack("<I", 1000)))
    archive = open_source(tmp_path / "bomb.zip")
    before = peak()
    with pytest.raises(PictureError, match="damaged in the zip"):
        archive.read("a.png")
    assert peak() - before < 60


def test_twins_in_a_zip_are_listed(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("same.png", b"1")
        archive.writestr("same.png", b"2")
    source = open_source(tmp_path / "a.zip")
    assert [name for name, _ in source.list()] == ["same.png"] and source.read("same.png") == b"2"
    assert source.left_out == [("same.png", "another file of the same name follows in the zip")]
