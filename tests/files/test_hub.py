"""The hub: named downloads, recorded, checked again later, found in the right place; never fetched unasked."""
import dataclasses
import io
import json
import os
import zipfile

import pytest

from sketchgan.files import downloads, hub
from sketchgan.files.downloads import DownloadError


def zipped(**members: bytes) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        for name, data in members.items():
            archive.writestr(f"top/{name}/picture.bin", data)
    return file.getvalue()


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """offer(bytes) makes 'photos' (a zip) and 'drawings' (no archive) downloads that a stub of the network gives; it
    counts the calls."""
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SKETCHGAN_DATA", raising=False)
    items = [hub.Item("photos", "photographs", "CC0", ("https://host/photos.zip",), "photos.zip",
                      page="https://host/about", inside="top"),
             hub.Item("drawings", "drawings", "CC0", ("https://host/drawings.ndjson",), "drawings.ndjson", "ndjson")]
    monkeypatch.setattr(hub, "ITEMS", {item.name: item for item in items})

    def offer(data: bytes):
        calls = []

        def get(urls, path, kind, digest, progress):
            calls.append(urls)
            path.write_bytes(data)
            return {"url": urls[0], "size": len(data), "sha256": downloads.check(path, kind, digest)}
        monkeypatch.setattr(hub, "download", get)
        return calls
    return offer


def test_fetched_once_and_unpacked(offer):
    calls = offer(zipped(a=b"one", b=b"two"))
    folder = hub.fetch("photos", progress=False)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert hub.fetch("photos") == folder and len(calls) == 1
    record = json.loads(hub.ITEMS["photos"].record.read_text())
    assert len(record["sha256"]) == 64 and record["url"] == "https://host/photos.zip" and record["licence"] == "CC0"
    assert not hub.ITEMS["photos"].place.exists(), "the zip goes when its content is there"
    assert "in the cache" in hub.table()


def test_something_else_later_is_an_error(offer):
    offer(b'{"first": 1}')
    file = hub.fetch("drawings", progress=False)
    file.unlink()
    offer(b'{"other": 1}')
    with pytest.raises(DownloadError, match="(?s)its sha256 is .* instead of .*By hand: .* delete "
                                            ".*drawings.ndjson.json"):
        hub.fetch("drawings", progress=False)
    hub.ITEMS["drawings"].place.unlink(missing_ok=True)
    offer(b'{"first": 1}')
    assert hub.fetch("drawings", progress=False) == file
    status = file.stat()
    file.write_bytes(b'{"spoilt":1}')                            # the same length; the time tells
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(DownloadError, match="of .*drawings.ndjson, its sha256 is"):
        hub.fetch("drawings", progress=False)


def test_a_file_fetched_by_hand_is_checked_and_recorded(offer, monkeypatch):
    calls = offer(b"never")
    monkeypatch.setenv("SKETCHGAN_OFFLINE", "1")
    place = hub.ITEMS["drawings"].place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"<html>not found</html>")
    with pytest.raises(DownloadError, match="(?s)a web page came.*Delete that file"):
        hub.fetch("drawings")
    place.write_bytes(b'{"drawing": []}')
    assert hub.fetch("drawings") == place and not calls
    assert json.loads(hub.ITEMS["drawings"].record.read_text())["url"] == "by hand"


@pytest.mark.parametrize("record", [b"{", b"[1, 2]", b"[" * 5000, b"\xff\xfe", b'{"sha256": 5}'])
def test_a_damaged_record_is_named(offer, record):
    offer(b'{"first": 1}')
    item = hub.ITEMS["drawings"]
    item.record.parent.mkdir(parents=True)
    item.record.write_bytes(record)
    with pytest.raises(DownloadError, match="drawings.ndjson.json cannot be read .*; delete this record if you trust"):
        hub.fetch("drawings")


def test_a_cache_that_cannot_be_written_says_how_to_move_it(offer, monkeypatch):
    offer(b'{"first": 1}')
    monkeypatch.setenv("SKETCHGAN_CACHE", "/proc/none")
    with pytest.raises(OSError, match="SKETCHGAN_CACHE"):
        hub.fetch("drawings")


def test_offline_uses_the_cache_only_and_says_how_to_do_it_by_hand(offer, monkeypatch):
    calls = offer(b"never")
    monkeypatch.setenv("SKETCHGAN_OFFLINE", "1")
    with pytest.raises(DownloadError, match="(?s)OFFLINE forbids.*By hand: find photos.zip at https://host/about .* "
                                            "save it as .*photos.zip"):
        hub.fetch("photos")
    assert not calls


def test_a_hostile_archive_leaves_nothing(offer, tmp_path):
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("../../../../escaped", b"bad")
    offer(file.getvalue())
    with pytest.raises(ValueError, match="leaves the folder"):
        hub.fetch("photos", progress=False)
    assert not hub.ITEMS["photos"].result.exists() and not list(tmp_path.rglob("escaped"))
    offer(zipped(a=b"one"))
    with pytest.raises(DownloadError, match="holds no other"):
        hub.ITEMS["photos"].place.unlink()
        hub.ITEMS["photos"].record.unlink()
        hub.ITEMS["photos"] = dataclasses.replace(hub.ITEMS["photos"], inside="other")
        hub.fetch("photos", progress=False)


def test_data_is_found_in_the_users_folder_first_and_never_fetched_unasked(offer, tmp_path, monkeypatch):
    calls = offer(zipped(a=b"one"))
    with pytest.raises(FileNotFoundError, match="(?s)photos is neither in SKETCHGAN_DATA .not set. nor in the "
                                                "cache.*hub fetch photos"):
        hub.find_data("photos")
    assert not calls
    assert hub.fetch("photos", progress=False) == hub.find_data("photos") and len(calls) == 1
    (tmp_path / "mine" / "photos").mkdir(parents=True)
    monkeypatch.setenv("SKETCHGAN_DATA", str(tmp_path / "mine"))
    assert hub.find_data("photos") == tmp_path / "mine" / "photos"
    with pytest.raises(ValueError, match="no download 'nothing'; there are photos, drawings"):
        hub.find_data("nothing")


def test_a_group_is_one_folder(offer, monkeypatch):
    offer(b'{"drawing": []}')
    pair = [hub.Item(f"words-{word}", "drawings", "CC0", ("https://host/x",), f"{word}.ndjson", "ndjson",
                     group="words") for word in "ab"]
    monkeypatch.setattr(hub, "ITEMS", {item.name: item for item in pair})
    hub.fetch("words-a", progress=False)
    assert hub.find_data("words-a").name == "a.ndjson"
    with pytest.raises(FileNotFoundError, match="fetch words-a; python -m sketchgan hub fetch words-b"):
        hub.find_data("words")
    hub.fetch("words-b", progress=False)
    assert sorted(p.name for p in hub.find_data("words").glob("*.ndjson")) == ["a.ndjson", "b.ndjson"]


def test_the_table_is_complete_and_the_commands_work(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SKETCHGAN_CACHE", str(tmp_path))
    assert len(hub.ITEMS) > 15 and len({item.place for item in hub.ITEMS.values()}) == len(hub.ITEMS)
    for item in hub.ITEMS.values():
        assert all(url.startswith(("https://", "http://dl.yf.io"))
                   for url in item.urls) and item.urls[0].startswith("https://")
        assert item.licence and item.page.startswith("https://") and item.kind in downloads.MAGIC
        assert str(item.place) in item.by_hand()
    hub.main(["list"])
    printed = capsys.readouterr().out
    assert all(f"| {name} | " in printed for name in hub.ITEMS)
    hub.main(["path", "hands"])
    assert capsys.readouterr().out.strip() == str(hub.ITEMS["hands"].place)
    (tmp_path / "mine" / "hands").mkdir(parents=True)
    monkeypatch.setenv("SKETCHGAN_DATA", str(tmp_path / "mine"))
    hub.main(["find", "hands"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "mine" / "hands")
    monkeypatch.setenv("SKETCHGAN_OFFLINE", "1")
    with pytest.raises(SystemExit, match="hub fetch: hands could not be fetched"):
        hub.main(["fetch", "hands"])
    with pytest.raises(SystemExit, match="there is no download 'feet'"):
        hub.main(["fetch", "feet"])
