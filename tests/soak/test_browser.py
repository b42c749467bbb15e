"""A page of another origin in a real browser: Connect and gRPC-Web as Connect for Web speaks them, CORS as the browser keeps
it, and the example of docs/queries.md."""
import json
import os
import queue
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from http_device import HttpDevice
from millrace_lab import eventually

BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
BUNDLE = Path(os.environ["MILLRACE_WEB_PAGE"]) / "page.js"  # of ./dev soak browser


class _Page:
    """Serves the page, and takes its verdict."""

    def __init__(self):
        self.verdicts = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                script = self.path.startswith("/page.js")
                body = BUNDLE.read_bytes() if script else b"<!doctype html><script src=page.js></script>"
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if script else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                outer.verdicts.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(name="page")
def _page():
    page = _Page()
    yield page
    page.close()


@pytest.fixture(name="meter")
def _meter(lab):
    """A device with 600 readings, one a second, value = number of the second."""
    sender = HttpDevice(lab, "web-meter", lab.create_device("web-meter"))
    receipt = sender.send([{"ts": BEGIN // 1_000_000 + second, "value": second} for second in range(600)])
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")
    eventually(lambda: lab.query("Latest", device="web-meter").entries, 60, "its newest value")
    return sender


def _open(page, base_url, lab, folder):
    asked = urllib.parse.urlencode({"baseUrl": base_url, "apiKey": lab.api_key, "device": "web-meter", "from": BEGIN})
    return subprocess.Popen(
        ["chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}",
         f"{page.origin}/?{asked}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _verdict(page, sender):
    """The page follows the device until it has seen a reading that is new: so there is one, now and then."""
    for _ in range(600):
        sender.send({"live": 1})
        try:
            return page.verdicts.get(timeout=0.5)
        except queue.Empty:
            continue
    raise AssertionError("the page says nothing")


def test_a_page_reads_and_follows(lab, page, meter, tmp_path):
    service = lab.add_service("query-api", "web-query", extra={"MILLRACE_QUERY_API_CORS_ORIGINS": page.origin})
    browser = None
    try:
        service.wait_ready()
        browser = _open(page, f"http://127.0.0.1:{service.ports['query_http']}", lab, tmp_path / "browser")
        verdict = _verdict(page, meter)
    finally:
        if browser:
            browser.kill()
            browser.wait()
        lab.drop_service("web-query")
    assert "error" not in verdict, verdict
    for protocol in ("connectJson", "connectBinary", "grpcWeb"):
        said = verdict[protocol]
        assert "value 599" in said["latest"], protocol
        assert said["counts"] == [60] * 10, protocol
        assert said["csvLines"] >= 601, protocol
        assert (said["refused"], said["refusedStream"]) == ("NotFound", "NotFound"), protocol
    assert "value 599" in verdict["followed"] and verdict["followed"][-1] == "live 1"


def test_a_page_that_is_not_listed_reads_nothing(lab, page, tmp_path):
    browser = _open(page, f"http://{lab.stack.settings.address('query_http')}", lab, tmp_path / "browser")
    try:
        verdict = page.verdicts.get(timeout=120)
    finally:
        browser.kill()
        browser.wait()
    assert set(verdict) == {"error"}, verdict
