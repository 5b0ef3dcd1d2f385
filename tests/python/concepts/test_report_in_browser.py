"""The page in a real browser: no error, no request, light and dark."""

import http.server
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from coxlmm.grounding import Word

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")


@pytest.fixture
def server():
    """A server on this machine, and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    running.server_close()


def browse(url, profile, *options):
    """Opens a page; returns what its console said and, with --dump-dom, what became of it."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--disable-background-networking", "--no-first-run", "--enable-logging=stderr", "--window-size=1000,900",
        "--virtual-time-budget=3000", f"--user-data-dir={profile}", *options, url,
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
    assert run.returncode == 0, run.stderr
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line], run.stdout


def test_it_opens_from_disk_without_an_error_or_a_request(dictionary, server, tmp_path):
    origin, asked = server
    attack = f'dog <img src="{origin}/img"><script src="{origin}/js"></script><link href="{origin}/css" rel=stylesheet>'
    dictionary.words = [[Word(attack, 1.0)] for _ in range(dictionary.n_concepts)]
    page = dictionary.report(tmp_path / "report.html", title=attack)
    console, dom = browse(page.as_uri(), tmp_path / "profile", "--dump-dom")
    assert console == []
    assert asked == []
    assert dom.count('<article class="card"') == dictionary.n_concepts
    # The same, unescaped: without escaping there would be requests, and with the policy alone an error for each.
    html = page.read_text()
    policy = html[html.index("<meta http-equiv") : html.index("<meta name=")]
    page.write_text(html.replace("</main>", f"{attack}</main>"))
    console, _ = browse(page.as_uri(), tmp_path / "profile", "--dump-dom")
    assert len(console) == 3
    assert all("Content Security Policy" in line for line in console)
    assert asked == []
    page.write_text(html.replace("</main>", f"{attack}</main>").replace(policy, ""))
    browse(page.as_uri(), tmp_path / "profile", "--dump-dom")
    assert sorted(asked) == ["/css", "/img", "/js"]


def test_it_is_light_or_dark_as_the_reader_wishes(dictionary, tmp_path):
    page = dictionary.report(tmp_path / "report.html")
    corner = {}
    for name, options in (("light", ["--blink-settings=preferredColorScheme=1"]),
                          ("dark", ["--blink-settings=preferredColorScheme=0"])):  # fmt: skip
        shot = tmp_path / f"{name}.png"
        browse(page.as_uri(), tmp_path / "profile", f"--screenshot={shot}", *options)
        pixels = np.asarray(Image.open(shot).convert("RGB"), dtype=float)
        corner[name] = pixels[5, 5].mean()
        assert pixels.std() > 10  # something is written on it
    assert corner["light"] > 230
    assert corner["dark"] < 40
