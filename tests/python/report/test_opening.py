"""The page opens from disk in a real browser: nothing is asked of any network, and no text of others does anything."""

import http.server
import threading

import pytest
from report.visit import Visit

from coxlmm.grounding import Word


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


def test_it_opens_from_disk_without_an_error_or_a_request(dictionary, visit, chromium, server, tmp_path):
    origin, asked = server
    attack = f'dog <img src="{origin}/img"><script src="{origin}/js"></script><link href="{origin}/css" rel=stylesheet>'
    dictionary.words = [[Word(attack, 1.0)] for _ in range(dictionary.n_concepts)]
    path = dictionary.report(tmp_path / "report.html", title=attack)
    page = visit(path)
    assert page.locator(".card[data-index]").count() == dictionary.n_concepts
    assert asked == []
    # The same, unescaped: without escaping there would be requests, and with the policy alone an error for each.
    html = path.read_text()
    policy = html[html.index("<meta http-equiv") : html.index("<meta name=")]
    path.write_text(html.replace("</main>", f"{attack}</main>"))
    visited = Visit(chromium, path)
    visited.page.wait_for_load_state("load")
    visited.close()
    assert len(visited.console) == 3
    assert all("Content Security Policy" in line for line in visited.console)
    assert asked == []
    path.write_text(html.replace("</main>", f"{attack}</main>").replace(policy, ""))
    visited = Visit(chromium, path)
    visited.page.wait_for_load_state("load")
    visited.close()
    assert sorted(asked) == ["/css", "/img", "/js"]
