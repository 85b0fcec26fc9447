"""Downloads against a server that misbehaves: every trouble ends in the whole file or in an error that names it."""
import contextlib
import hashlib
import http.server
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile

import pytest

from sketchgan.files import downloads
from sketchgan.files.downloads import DownloadError, download


def zipped(size: int) -> bytes:
    """A zip file of about `size` bytes."""
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("deep/numbers.bin", bytes(range(256)) * (size // 256))
    return file.getvalue()


DATA = zipped(310_000)
OTHER = zipped(290_000)
ETAG = '"first"'


class Server(http.server.ThreadingHTTPServer):
    """Serves DATA at every path; the path says how it misbehaves. `asked` holds (path, Range, If-Range)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.data, self.etag = [], DATA, ETAG

    def at(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path, server = self.path.rsplit("/", 1)[-1], self.server
        server.asked.append((path, self.headers["Range"], self.headers["If-Range"]))
        first = sum(asked[0] == path for asked in server.asked) == 1
        if path.startswith("redirect"):
            self.send_response(302)
            self.send_header("Location", {"redirect": "/plain", "redirect-loop": "/redirect-loop",
                                          "redirect-ftp": "ftp://host/file", "redirect-bad": "http://[no/file",
                                          "redirect-port": "http://host:many/file", "redirect-nowhere": "",
                                          "redirect-endless": "/plain"}[path])
            self.end_headers()
            return self.drip(bytes(1 << 16), 0) if path == "redirect-endless" else None
        if path == "missing" or path == "busy" and first:
            return self.send_error(404 if path == "missing" else 503)
        getattr(self, "serve_" + path.replace("-", "_"), self.serve)(server.data, first)

    def serve(self, data, first, ranges=True, length=None, cut=None, kind="application/zip", pause=0.0, stall=False,
              tag=True):
        start = 0
        valid = self.headers["If-Range"] in (None, self.server.etag)
        if ranges and valid and (wanted := self.headers["Range"]):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", kind)
        if length != "none":
            self.send_header("Content-Length", str(length if length is not None else len(data) - start))
        if tag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        end = len(data) if cut is None else start + cut
        try:
            self.wfile.write(data[start:end])
            self.wfile.flush()
            if stall:
                time.sleep(3)
        except OSError:
            pass
        self.close_connection = True

    def drip(self, data, pause):
        """Send `data` again and again, until nobody listens."""
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(data)
                self.wfile.flush()
                time.sleep(pause)

    def serve_slow_head(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"a", 0.02)

    def serve_slow_body(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nPK\x03\x04")
        self.drip(b"a", 0.02)

    def serve_slow_chunks(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9;")
        self.drip(b"a", 0.02)

    def serve_endless(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nPK\x03\x04")
        self.drip(bytes(1 << 16), 0)

    def serve_bad_chunks(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nPK\x03\x04")

    def serve_cut_chunks(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + data[:512])

    def serve_chunks(self, data, first):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (data[:7], data[7:]):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def serve_no_http(self, data, first):
        self.wfile.write(b"220 ftp server ready\r\n")

    def serve_odd_length(self, data, first):
        self.serve(data, first, length="\xb2")

    def serve_odd_range(self, data, first):
        if not self.headers["Range"]:
            return self.serve(data, first, cut=100_000)
        self.wfile.write(b"HTTP/1.1 206 OK\r\nContent-Range: bytes \xb2-\xb2/\xb2\r\nContent-Length: -1\r\n\r\n")

    def serve_cut_without_length(self, data, first):
        self.serve(data, first, length="none", cut=len(data) // 2, ranges=False)

    def serve_slowly(self, data, first):
        for start in range(0, len(data), 4096):
            if start == 0:
                self.wfile.write(b"HTTP/1.1 206 OK\r\n" if self.headers["Range"] else b"HTTP/1.1 200 OK\r\n")
                begin = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
                self.wfile.write(b"Content-Length: %d\r\nETag: %b\r\n" % (len(data) - begin, ETAG.encode()))
                self.wfile.write(b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (begin, len(data) - 1, len(data)))
                data = data[begin:]
            with contextlib.suppress(OSError):
                self.wfile.write(data[start:start + 4096])
                self.wfile.flush()
            time.sleep(0.002)

    def serve_drops(self, data, first):
        self.serve(data, first, cut=100_000)

    def serve_drops_no_ranges(self, data, first):
        self.serve(data, first, ranges=False, cut=100_000 if first else None)

    def serve_drops_no_tag(self, data, first):
        self.serve(data, first, cut=100_000 if first else None, tag=False)

    def serve_stalls(self, data, first):
        self.serve(data, first, cut=100_000 if first else None, stall=first)

    def serve_truncates(self, data, first):
        self.serve(data[:5000], first, length=len(data), ranges=False)

    def serve_says_less(self, data, first):
        self.serve(data, first, length=5000)

    def serve_says_nothing(self, data, first):
        self.serve(data, first, length="none")

    def serve_web_page(self, data, first):
        self.serve(b"<!DOCTYPE html><html>quota exceeded</html>", first, kind="text/html; charset=utf-8")

    def serve_hidden_page(self, data, first):
        self.serve(b"\n <html>please log in</html>", first, kind="application/octet-stream")

    def serve_garbage(self, data, first):
        self.serve(b"no such thing" * 100, first)

    def serve_wrong_range(self, data, first):
        if not self.headers["Range"]:
            return self.serve(data, first, cut=100_000 if first else None)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 7-{len(data) - 1}/{len(data)}")
        self.end_headers()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setattr(downloads, "MEGABYTE", 50_000)        # what counts as getting on
    running = Server()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def get(server, tmp_path):
    def get(*paths, **kwargs):
        kwargs.setdefault("progress", False)
        return download([path if ":" in path else server.at(path) for path in paths], tmp_path / "file.bin", **kwargs)
    return get


def test_a_file_arrives_whole_with_its_record(get, tmp_path, server):
    known = get("plain")
    assert (tmp_path / "file.bin").read_bytes() == DATA and known["size"] == len(DATA)
    assert known["sha256"] == downloads.sha256(tmp_path / "file.bin") and known["url"] == server.at("plain")
    assert [file.name for file in tmp_path.iterdir()] == ["file.bin"], "nothing is left beside it"


@pytest.mark.parametrize("path, ranges", [("drops", ["bytes=100000-", "bytes=200000-", "bytes=300000-"]), ("busy", []),
                                          ("redirect", []),
                                          ("drops-no-ranges", ["bytes=100000-"]), ("drops-no-tag", []),
                                          ("says-nothing", []),
                                          ("wrong-range", ["bytes=100000-"])])
def test_troubles_on_the_way_are_overcome(get, tmp_path, server, path, ranges):
    get(path)
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert [asked[1] for asked in server.asked if asked[1]] == ranges
    assert {asked[2] for asked in server.asked if asked[1]} <= {ETAG}


def test_a_stalled_connection_is_left_and_gone_on_with(get, tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    began = time.monotonic()
    get("stalls")
    assert (tmp_path / "file.bin").read_bytes() == DATA and time.monotonic() - began < 2.9
    assert server.asked[1][1] == "bytes=100000-"


def test_a_later_call_goes_on_where_the_first_stopped(get, tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "MEGABYTE", 1 << 20)
    with pytest.raises(DownloadError, match="100,000 bytes here; the next call goes on"):
        get("drops")
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000 and not (tmp_path / "file.bin").exists()
    monkeypatch.setattr(Handler, "serve_drops", Handler.serve)
    get("plain", "drops")                                    # the mirror that gave the part is asked first
    assert server.asked[-1] == ("drops", "bytes=100000-", ETAG) and (tmp_path / "file.bin").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_fetched_anew(get, tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "MEGABYTE", 1 << 20)
    with pytest.raises(DownloadError):
        get("drops")
    server.data, server.etag = OTHER, '"second"'
    monkeypatch.setattr(Handler, "serve_drops", Handler.serve)
    get("drops")
    assert (tmp_path / "file.bin").read_bytes() == OTHER


@pytest.mark.parametrize("path, message", [("missing", "404 Not Found"), ("web-page", "a web page came"),
                                           ("hidden-page", "a web page came"),
                                           ("garbage", "no zip file: it begins with b'no such"),
                                           ("truncates", f"after 5,000 of {len(DATA):,} bytes"),
                                           ("redirect-loop", "redirect"), ("redirect-ftp", "from http to ftp"),
                                           ("says-less", "cut short")])
def test_what_is_not_the_file_is_refused_and_a_mirror_helps(get, tmp_path, server, path, message):
    with pytest.raises(DownloadError, match=message):
        get(path, kind="zip")
    assert not (tmp_path / "file.bin").exists()
    get(path, "plain", kind="zip", digest=hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "file.bin").read_bytes() == DATA


def test_a_sha256_is_held_to(get, tmp_path, server):
    with pytest.raises(DownloadError, match="its sha256 is .* instead of 00"):
        get("plain", digest="00")
    assert list(tmp_path.iterdir()) == [], "what is wrong is not kept"
    get("says-less", "plain", digest=hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "file.bin").read_bytes() == DATA


def test_a_full_disk_ends_it_at_once_and_keeps_what_came(get, tmp_path, server, monkeypatch):
    free = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: free._replace(free=1000))
    with pytest.raises(DownloadError, match=f"1,000 bytes free and {len(DATA):,} are to come"):
        get("plain", "plain")
    assert len(server.asked) == 1, "another mirror would not help"


def test_only_http_and_never_from_protected_to_open(get):
    with pytest.raises(DownloadError, match="no http or https address"):
        get("file:///etc/hosts")
    request = urllib.request.Request("https://host/file")
    with pytest.raises(DownloadError, match="redirects from https to http"):
        downloads._Redirects().redirect_request(request, None, 302, "Found", {}, "http://host/file")
    assert downloads._Redirects().redirect_request(request, None, 302, "Found", {},
                                                   "https://other/file").full_url == "https://other/file"


def test_the_proxy_of_the_environment_is_used(get, tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.at(""))
    monkeypatch.setenv("no_proxy", "")
    get("http://no-such-host.invalid/plain")
    assert (tmp_path / "file.bin").read_bytes() == DATA


LIES = {"odd-range": "times in a row", "redirect-bad": "its answer is no HTTP .ValueError", "redirect-port": "port",
        "redirect-nowhere": "redirect",
        "slow-head": "stalled: no answer", "slow-body": "stalled", "slow-chunks": "stalled",
        "endless": "more than 1,000,000 bytes and no end",
        "bad-chunks": "IncompleteRead", "cut-chunks": "IncompleteRead", "no-http": "BadStatusLine",
        "cut-without-length": "has no end: it was cut short"}


@pytest.mark.parametrize("path", LIES)
def test_whatever_a_host_answers_the_next_one_is_tried(get, tmp_path, server, monkeypatch, path):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    monkeypatch.setattr(downloads, "ENDLESS", 1_000_000)
    with pytest.raises(DownloadError, match=LIES[path]):
        get(path, kind="zip")
    known = get(path, "plain", kind="zip")
    assert known["url"] == server.at("plain") and (tmp_path / "file.bin").read_bytes() == DATA
    assert [file.name for file in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("path", ["odd-length", "chunks", "redirect-endless"])
def test_odd_answers_that_still_bring_the_whole_file(get, tmp_path, path):
    get(path, kind="zip")
    assert (tmp_path / "file.bin").read_bytes() == DATA


def test_a_part_without_a_length_is_never_taken_for_the_whole(get, tmp_path, server):
    """Its hash used to be recorded as that of the file."""
    server.data = b"".join(b'{"word": "cat", "drawing": [%d]}\n' % k for k in range(5000))
    with pytest.raises(DownloadError, match="does not say how long the file is, so that a part of it would look like "
                                            "all"):
        get("cut-without-length", kind="ndjson")
    with pytest.raises(DownloadError, match="its sha256 is"):
        get("cut-without-length", kind="ndjson", digest=hashlib.sha256(server.data).hexdigest())
    assert list(tmp_path.iterdir()) == []
    get("cut-without-length", "chunks", kind="ndjson")
    assert (tmp_path / "file.bin").read_bytes() == server.data


def test_killed_at_any_moment_the_next_call_goes_on(get, tmp_path, server, root):
    program = ("import sys\nfrom pathlib import Path\nfrom sketchgan.files.downloads import download\n"
               "print('ready', flush=True)\ndownload([sys.argv[1]], Path(sys.argv[2]), progress=False)")
    for _ in range(int(os.environ.get("SKETCHGAN_KILLS", 4))):      # see tests/test_kills.py
        process = subprocess.Popen([sys.executable, "-c", program, server.at("slowly"), str(tmp_path / "file.bin")],
                                   stdout=subprocess.PIPE, cwd=root)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0, 0.15))
        process.kill()
        process.wait()
        process.stdout.close()
    have = (tmp_path / "file.bin.part").stat().st_size if (tmp_path / "file.bin.part").exists() else 0
    get("slowly")
    assert server.asked[-1][1] == (f"bytes={have}-" if have else None), "nothing that has arrived is fetched again"
    assert (tmp_path / "file.bin").read_bytes() == DATA and [file.name for file in tmp_path.iterdir()] == ["file.bin"]


def test_notes_of_a_part_that_were_damaged_mean_a_new_beginning(get, tmp_path, server):
    for note in (b"{", b"[1]", b"[" * 5000, b"\xff",
                 json.dumps({"url": server.at("plain"), "etag": 5, "total": "x"}).encode()):
        (tmp_path / "file.bin.part").write_bytes(b"something else")
        (tmp_path / "file.bin.part.json").write_bytes(note)
        get("plain", kind="zip")
        assert (tmp_path / "file.bin").read_bytes() == DATA
