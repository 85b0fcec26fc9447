"""Files appear whole or not at all, and say why not; a folder has one owner, and a dead one lets go."""
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sketchgan.files import atomic
from sketchgan.files.atomic import FolderInUse, locked, write_atomically

HOLD = ("import sys, time\nfrom sketchgan.files.atomic import locked\n"
        "with locked(sys.argv[1], 'the other', name=sys.argv[2]):\n print('held', flush=True)\n time.sleep(600)")


@pytest.fixture
def other(root):
    """other(folder, name) starts a process that owns the folder (or the file of that lock); all are killed at the
    end."""
    started = []

    def other(folder, name=".lock"):
        started.append(subprocess.Popen([sys.executable, "-c", HOLD, str(folder), name], stdout=subprocess.PIPE,
                                        cwd=root))
        assert started[-1].stdout.readline() == b"held\n"
        return started[-1]
    yield other
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def read_only(monkeypatch):
    """A read-only file system in small: opening to write and removing answer EROFS, as Linux does."""
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
    monkeypatch.setattr(atomic, "open", refuse, raising=False)
    monkeypatch.setattr(Path, "unlink", refuse)


def test_the_message_survives_a_disk_on_which_nothing_can_be_removed_either(tmp_path, read_only):
    (tmp_path / "old").write_bytes(b"old")
    for name, kept in (("new", "nothing was left behind"), ("old", "the previous file is untouched")):
        with pytest.raises(OSError, match=f"could not write .*{name} .1 bytes.: Read-only.*{kept}.* choose another"):
            write_atomically(tmp_path / name, b"1")
    with pytest.raises(OSError, match="could not write .*: (Not a directory|File exists).*choose another folder"):
        write_atomically(tmp_path / "old" / "below", b"1")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_atomically(tmp_path / "file", b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*the previous file is untouched"):
        write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def test_names_up_to_the_longest_and_the_leavings_of_the_killed(tmp_path):
    longest = tmp_path / ("n" * 255)
    left, others = tmp_path / f".{'n' * 40}.0123abcd.partial", tmp_path / ".m.0123abcd.partial"
    for path in (left, others):
        path.write_bytes(b"half")
        os.utime(path, (1, 1))
    write_atomically(longest, b"whole")
    assert longest.read_bytes() == b"whole" and not left.exists() and others.exists()


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path, other):
    process = other(tmp_path / "run")
    with pytest.raises(FolderInUse, match=f"run is in use by the other, process {process.pid} on .* another folder"):
        with locked(tmp_path / "run"):
            pass
    with locked(tmp_path / "run", name=".a.pt.lock"):            # a file in it is another matter
        process = other(tmp_path / "run", ".b.pt.lock")
        with pytest.raises(FolderInUse, match=f"b.pt is in use by the other, process {process.pid}"):
            with locked(tmp_path / "run", name=".b.pt.lock"):
                pass
    with locked(tmp_path / "mine", "one session"), pytest.raises(FolderInUse, match="one session, .*this very process"):
        with locked(tmp_path / "mine"):
            pass


def test_a_killed_owner_lets_go_and_the_lock_goes_with_the_last(tmp_path, other):
    process = other(tmp_path / "run")
    waiter = threading.Thread(target=lambda: locked(tmp_path / "run", "a waiting one", wait=True).__enter__())
    waiter.start()
    os.kill(process.pid, signal.SIGKILL)
    waiter.join(60)
    assert not waiter.is_alive() or pytest.fail("it waits for a dead process")
    with locked(tmp_path / "other"):
        assert [path.name for path in (tmp_path / "other").iterdir()] == [".lock"]
    assert list((tmp_path / "other").iterdir()) == []


def test_many_that_wait_come_in_one_at_a_time(tmp_path):
    inside, most = 0, 0

    def enter():
        nonlocal inside, most
        for _ in range(20):
            with locked(tmp_path / "run", wait=True):
                inside += 1
                most = max(most, inside)
                inside -= 1
    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_disks_that_are_read_only_or_know_no_locks(tmp_path, monkeypatch, request):
    if atomic.fcntl:
        def unknown(*_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        with monkeypatch.context() as patch, pytest.warns(UserWarning, match="a file system without locks .No locks "
                                                                             "avail"):
            patch.setattr(atomic.fcntl, "flock", unknown)
            with locked(tmp_path / "network"):
                pass
    request.getfixturevalue("read_only")
    with pytest.raises(OSError, match="cannot write in .*: Read-only file system; choose another folder"):
        with locked(tmp_path / "run"):
            pass
