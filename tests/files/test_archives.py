"""Zip files from elsewhere: whole ones are unpacked, hostile and damaged ones leave nothing behind."""
import stat
import zipfile

import pytest

from sketchgan.files import archives
from sketchgan.files.archives import ArchiveError


def write(path, members):
    """A zip of {name: bytes}."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_unpacks_whole(tmp_path):
    path = write(tmp_path / "a.zip", {"deep/a.txt": b"one", "b.txt": b"two", "empty/": b"", "win\\dows.txt": b"three"})
    (tmp_path / ".out.unpacking").mkdir()                        # a killed process left this
    archives.unpack(path, tmp_path / "out", progress=False)
    found = {str(file.relative_to(tmp_path / "out")): file.read_bytes() for file in (tmp_path / "out").rglob("*")
             if file.is_file()}
    assert found == {"deep/a.txt": b"one", "b.txt": b"two",
                     "win/dows.txt": b"three"} and (tmp_path / "out/empty").is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize("name", ["../escaped", "deep/../../escaped", "/escaped", "C:/escaped", "..\\escaped"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    path = write(tmp_path / "a.zip", {"good": b"one", name: b"bad"})
    with pytest.raises(ArchiveError, match="its path leaves the folder"):
        archives.unpack(path, tmp_path / "out", progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"] and not (tmp_path.parent / "escaped").exists()


def test_links_twins_and_encrypted_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ArchiveError, match="a link or a device"):
        archives.unpack(write(tmp_path / "a.zip", {link: b"/etc"}), tmp_path / "out", progress=False)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("same", b"1")
        archive.writestr("same", b"2")
    with pytest.raises(ArchiveError, match="FileExistsError"):
        archives.unpack(tmp_path / "b.zip", tmp_path / "out", progress=False)
    member = zipfile.ZipInfo("secret")
    member.flag_bits = 1
    assert archives.suspicion(member) == "it is encrypted"
    assert not (tmp_path / "out").exists()


def test_bombs_and_damaged_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BOMB_BYTES", 1 << 20)
    with pytest.raises(ArchiveError, match="a zip bomb, and is not touched"):
        archives.unpack(write(tmp_path / "bomb.zip", {"zeros": bytes(3 << 20)}), tmp_path / "out", progress=False)
    whole = write(tmp_path / "a.zip", {"a": bytes(range(256)) * 40}).read_bytes()
    (tmp_path / "short.zip").write_bytes(whole[:-30])
    with pytest.raises(ArchiveError, match="not a whole zip file"):
        archives.unpack(tmp_path / "short.zip", tmp_path / "out", progress=False)
    (tmp_path / "spoiled.zip").write_bytes(whole[:60] + b"spoiled" + whole[67:])
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        archives.unpack(tmp_path / "spoiled.zip", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.unpacking").exists()


def test_a_full_disk_is_seen_before_the_first_byte(tmp_path, monkeypatch):
    free = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: free._replace(free=10))
    with pytest.raises(OSError, match="unpacks to 100 bytes and .* has 10 free"):
        archives.unpack(write(tmp_path / "a.zip", {"a": bytes(100)}), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
