"""Folders, zips and LMDBs give the same pictures by the same calls; what is hostile or missing is said."""
import os
import zipfile

import pytest

from sketchgan.photos import sources
from sketchgan.photos.pictures import PictureError
from sketchgan.photos.sources import open_source

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
    assert [type(source).__name__ for source in found] == ["Folder", "Zip", "Lmdb"]


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
    for source, name in ((open_source(folder), "b.png"), (archive, "good.png"), (open_source(make_lmdb(tmp_path / "lsun", {b"k": b"value"})), "k")):
        with pytest.raises(PictureError, match="too large: .* bytes, 4 are read at most"):
            source.read(name)


def test_what_is_no_source_is_explained(tmp_path):
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "short.zip").write_bytes(b"PK\x03\x04 and nothing")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "data.mdb").write_bytes(b"no such thing" * 100)
    pytest.importorskip("lmdb")
    for path, message in (("nothing", "is not there: it is no folder of pictures, no zip, and no LSUN LMDB"), ("file.txt", "a file of another kind"),
                          ("short.zip", "not a whole zip"), ("base", "no LMDB that can be read")):
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / path)
