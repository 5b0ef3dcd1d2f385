"""The page opens from disk in a real browser: nothing is asked of any network, and no text of others does anything."""

import http.server
import threading
from dataclasses import replace

import pytest
from report.visit import Visit, to_samples

from coxlmm.grounding import Word
from coxlmm.report import write_explanation


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


# Each would set window.pwned, were it anything else than text where it is shown.
HOSTILE = [
    "</script><script>pwned = 1</script>",
    '"><img src=x onerror="pwned = 1">',
    "<!--<script>pwned = 1",
    "javascript:pwned = 1",
    "' onfocus=pwned=1 autofocus tabindex=0 x='",
    "\u2028</title></style><svg onload=pwned=1>{{ 7 * 7 }}",
    "]]>\u202e\x00&lt;b&gt;<iframe srcdoc='<script>parent.pwned = 1</script>'>",
]


@pytest.fixture
def hostile(full):
    """The full dictionary, with an attack wherever text came from outside."""
    n, k = full.n_samples, full.n_concepts
    names = [f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(n)]
    captions = [f"{HOSTILE[i % len(HOSTILE)]} a dog {i}" for i in range(n)]
    renamed = dict(zip(full.sample_ids, range(n), strict=True))
    return replace(
        full,
        sample_ids=names,
        captions=captions,
        words=[[Word(text, 5.0) for text in HOSTILE] for _ in range(k)],
        raw_words=[[Word(text, 5.0) for text in HOSTILE] for _ in range(k)],
        images=[
            [replace(h, sample_id=names[renamed[h.sample_id]], caption=captions[renamed[h.sample_id]]) for h in row]
            for row in full.images
        ],
        manifest=full.manifest | {"model_id": HOSTILE[0], "prompt": HOSTILE[1], "layer_name": HOSTILE[2]},
    )


def seen(text):
    """As a browser shows it: what is no character is replaced or left out, and spaces are one."""
    return " ".join(text.replace("\x00", "").replace("\ufffd", "").split())


def test_no_text_of_others_does_anything_and_all_of_it_is_shown(hostile, visit, tmp_path):
    page = visit(hostile.report(tmp_path / "r.html", title=HOSTILE[1]))
    assert page.title() == HOSTILE[1]
    assert page.locator("h1").inner_text() == HOSTILE[1]
    words = page.locator("#concept-0 .words bdi").all_text_contents()
    assert [seen(word) for word in words] == [seen(text) for text in HOSTILE]
    titles = page.locator("#concept-0 figure").evaluate_all("all => all.map(a => a.title)")
    assert [seen(title) for title in titles] == [seen(hit.sample_id) for hit in hostile.images[0]]
    page.locator("#search").fill(HOSTILE[0])
    assert page.locator(".cards > .card >> visible=true").count() == 6
    to_samples(page)
    captions = page.locator(".sample .caption").all_text_contents()
    assert captions
    assert all(caption.startswith(HOSTILE[0]) and " a dog " in caption for caption in captions)
    page.locator("#search").fill("")
    page.locator("#concept-0 h3 a").click()
    for scored in (0, 1):
        texts = page.locator("#view .scores").nth(scored).locator("bdi").all_text_contents()
        assert [seen(text) for text in texts] == [seen(text) for text in HOSTILE]
    page.locator("#view-samples").click()
    assert page.evaluate("typeof pwned") == "undefined"
    assert page.locator("iframe, img, svg[onload]").count() == 0


def test_only_the_pages_own_script_may_run(full_report, chromium, server):
    origin, asked = server
    visited = Visit(chromium, full_report)
    ways = [
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'pwned = 1'}))",
        "document.body.insertAdjacentHTML('beforeend', '<svg onload=\"pwned = 1\"></svg>')",
        "setTimeout('pwned = 1')",
        "document.body.append(Object.assign(document.createElement('img'), {src: origin + '/x.png'}))",
        "fetch(origin + '/x').catch(() => {})",
    ]
    for way in ways:
        visited.page.evaluate(f"origin => {{ {way}; }}", origin)
    visited.page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert visited.page.evaluate("typeof pwned") == "undefined"
    visited.close()
    assert len([line for line in visited.console if "Content Security Policy" in line]) >= len(ways)
    assert asked == []


@pytest.fixture
def explanation(dog_dictionary, lmm, speaker):
    """Of one image, with an attack wherever text came from outside."""
    found = dog_dictionary.explain(lmm, speaker.images[0])
    for active in found.concepts:
        active.concept.words[:] = [Word(text, 5.0) for text in HOSTILE[:5]]
        active.concept.images[:] = [replace(hit, sample_id=HOSTILE[1]) for hit in active.concept.images]
    return replace(found, caption="".join(HOSTILE), span=(3, 90), heat_method=None, without_heat=HOSTILE[0])


def test_the_page_of_an_explanation_shows_all_text_and_does_nothing(explanation, visit, tmp_path):
    page = visit(write_explanation(explanation, tmp_path / "e.html", title=HOSTILE[1]))
    assert page.title() == HOSTILE[1]
    assert seen(page.locator(".caption").text_content()) == seen("".join(HOSTILE))
    assert seen(page.locator("bdi").first.text_content()) == seen(", ".join(HOSTILE[:5]))
    assert f"There are no heat maps: {HOSTILE[0]}." in page.locator(".rest").text_content()
    assert set(page.locator(".likewise img").evaluate_all("all => all.map(a => a.alt)")) == {f"Sample {HOSTILE[1]}"}
    assert all(page.locator("img").evaluate_all("all => all.map(a => a.naturalWidth > 0)"))
    assert page.evaluate("typeof pwned") == "undefined"
    assert page.locator("iframe, script, svg").count() == 0


def test_in_the_page_of_an_explanation_nothing_may_run_or_be_asked_for(explanation, chromium, server, tmp_path):
    origin, asked = server
    attacks = {
        "script-src": "<script>pwned = 1</script>",
        "img-src": f"<img src='{origin}/img'>",
        "base-uri": f"<base href='{origin}/base/'>",
        "form-action": f"<form id='f' action='{origin}/form'></form>",
    }
    path = write_explanation(explanation, tmp_path / "e.html")
    path.write_text(path.read_text().replace("</main>", f"{''.join(attacks.values())}</main>"))
    visited = Visit(chromium, path)
    visited.page.evaluate("document.getElementById('f').submit()")
    visited.page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert visited.page.evaluate("typeof pwned") == "undefined"
    assert visited.page.evaluate("document.baseURI") == path.as_uri()
    visited.close()
    for directive in attacks:
        assert [line for line in visited.console if f"{directive} 'none'" in line or f"{directive} data:" in line]
    assert asked == []
