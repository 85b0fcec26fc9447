"""Bars move where somebody looks, and are few lines in a log."""
import io

from sketchgan.files import progress
from sketchgan.files.progress import Allowance, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_for_each_tenth():
    log = io.StringIO()
    with Progress(total=1000, file=log, mininterval=0, desc="training") as bar:
        for i in range(1000):
            bar.set_postfix_str(f"iteration {i}")
            bar.update()
    lines = log.getvalue().splitlines()
    assert len(lines) in (10, 11) and "\r" not in log.getvalue()
    assert "100%" in lines[-1] and "iteration 999" in lines[-1]


def test_a_log_gets_a_line_each_half_minute(monkeypatch):
    now, log = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress(total=None, file=log, desc="bytes", leave=False)
    for _ in range(100):
        now[0] += 1.0
        bar.update()
        bar.refresh()
    bar.close(), bar.close()
    assert len(log.getvalue().splitlines()) in (3, 4)


def test_what_is_quick_leaves_nothing_and_a_terminal_has_its_bar():
    log, terminal = io.StringIO(), Terminal()
    for file in (log, terminal):
        for _ in Progress(range(3), file=file, leave=False, mininterval=10):
            pass
    assert log.getvalue() == "" and "\r" in terminal.getvalue()
    assert not Progress._instances


def test_an_allowance_keeps_its_share_and_its_distance(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for share, seconds, took, wait in ((0.5, 0.0, 2.0, 2.0), (0.1, 0.25, 0.01, 0.25), (0.1, 0.25, 1.0, 9.0)):
        allowance = Allowance(share, seconds)
        assert allowance.due
        with allowance.spend():
            now[0] += took
        now[0] += wait - 0.01
        assert not allowance.due
        now[0] += 0.02
        assert allowance.due
