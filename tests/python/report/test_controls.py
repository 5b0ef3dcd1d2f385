"""Every control of the page does what it says, on numbers that are known."""

import re

import numpy as np
import pytest
from report.visit import to_samples

CARDS = ".cards > .card[data-index]"
# Every control that is not made by the script itself: a new one needs a test here.
CONTROLS = {
    "theme", "search", "order", "of-concept", "samples-before", "samples-after", "view-before", "view-after",
    "view-close", "heat", "view-samples",
}  # fmt: skip


@pytest.fixture
def page(visit, full_report):
    return visit(full_report)


def shown(page, selector=CARDS):
    return [
        int(i)
        for i in page.eval_on_selector_all(selector, "all => all.filter(a => !a.hidden).map(a => a.dataset.index)")
    ]


def active(full, sample):
    """Concepts of a sample, strongest first."""
    codes = full.codes[sample]
    return [int(k) for k in np.argsort(-codes, kind="stable") if codes[k] > 0]


def in_browser(full):
    """Samples that the browser shows: those with thumbnails, and those that ground a concept."""
    named = {name: i for i, name in enumerate(full.sample_ids)}
    return sorted(set(full.thumbnails) | {named[hit.sample_id] for hits in full.images for hit in hits})


def background(page, selector="body"):
    return page.locator(selector).first.evaluate("e => getComputedStyle(e).backgroundColor")


def test_every_control_is_known_here(page):
    assert set(page.eval_on_selector_all("button, input, select", "all => all.map(a => a.id)")) == CONTROLS


@pytest.mark.parametrize("key", ["share", "error", "stability", "effect", "index"])
def test_order_is_that_of_the_numbers(page, full, key):
    values = {
        "share": [-c.share_of_activation for c in full.concepts],
        "error": [-c.share_of_error for c in full.concepts],
        "stability": [-s for s in full.stability],
        "effect": [-e.divergence for e in full.effects],
        "index": range(6),
    }
    if key == "share":  # the order in which the page comes, and comes back to
        page.locator("#order").select_option("index")
    page.locator("#order").select_option(key)
    expected = sorted(range(6), key=lambda k: values[key][k])
    assert len({tuple(sorted(range(6), key=lambda k: v[k])) for v in values.values()}) == 5  # no two orders agree
    assert shown(page) == expected
    assert shown(page, ".glance > li") == expected


def test_search_finds_words_of_concepts(page):
    page.locator("#search").fill("WORD2")
    assert shown(page) == [2]
    assert shown(page, ".glance > li") == [2]
    assert page.locator("#found").inner_text() == "1 concept, 0 samples"
    page.locator("#search").fill("")
    assert len(shown(page)) == 6
    assert page.locator("#found").inner_text() == ""


def test_search_finds_captions_of_concepts_and_samples(page, full):
    sample = in_browser(full)[-1]
    grounded = [k for k, hits in enumerate(full.images) if full.sample_ids[sample] in {hit.sample_id for hit in hits}]
    page.locator("#search").fill(f"number {sample} dog")  # all of the terms, in any order
    caption = full.captions[sample]
    assert sorted(shown(page)) == [k for k, hits in enumerate(full.images) if any(h.caption == caption for h in hits)]
    assert sorted(shown(page)) == grounded
    to_samples(page)
    assert page.locator(".sample .caption").all_inner_texts() == [caption]
    count = "1 concept" if len(grounded) == 1 else f"{len(grounded)} concepts"
    assert page.locator("#found").inner_text() == f"{count}, 1 sample"


def test_search_says_when_it_finds_nothing(page):
    page.locator("#search").fill("zebra")
    assert shown(page) == []
    assert page.locator("#no-concept").is_visible()
    to_samples(page)
    assert page.locator("#sample-range").inner_text() == "No sample matches."
    page.locator("#search").fill("dog")
    assert not page.locator("#no-concept").is_visible()
    assert len(shown(page)) == 6


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_follow_the_system_until_the_button_is_pressed(visit, full_report, system):
    page = visit(full_report, color_scheme=system)
    dark = lambda: sum(map(int, re.findall(r"\d+", background(page))[:3])) < 3 * 60  # noqa: E731
    button = page.get_by_role("button", name="Dark")
    assert dark() == (system == "dark")
    assert button.get_attribute("aria-pressed") == str(system == "dark").lower()
    button.click()
    assert dark() != (system == "dark")
    assert button.get_attribute("aria-pressed") == str(system != "dark").lower()
    button.click()
    assert dark() == (system == "dark")
    other = "light" if system == "dark" else "dark"
    page.emulate_media(color_scheme=other)
    assert dark() == (system == "dark")  # as the reader chose
    page.reload()
    assert dark() == (other == "dark")
    page.emulate_media(color_scheme=system)
    assert dark() == (system == "dark")
    assert button.get_attribute("aria-pressed") == str(system == "dark").lower()


@pytest.mark.parametrize("way", ["title", "card", "glance"])
def test_a_concept_opens_in_a_view_of_its_own(page, full, way):
    selector = {
        "title": f"{CARDS}[data-index='2'] h3 a",
        "card": "#concept-2 .foot",
        "glance": ".glance [data-index='2'] a",
    }
    page.locator(selector[way]).click()
    view = page.get_by_role("dialog", name="Concept 2")
    assert view.is_visible()
    assert page.url.endswith("#concept-2")
    concept = full.concepts[2]
    assert f"active in {concept.n_active} of 90 samples" in view.inner_text()
    lists = view.locator(".scores")
    assert lists.nth(0).locator("bdi").all_inner_texts() == [word.text for word in concept.words]
    assert lists.nth(0).locator(".value").all_inner_texts() == ["9.50", "8.50", "7.50", "6.50", "5.50"]
    assert lists.nth(1).locator("bdi").all_inner_texts() == ["␣raw2", "↵"]
    widths = lists.nth(1).locator(".bar i").evaluate_all("all => all.map(a => parseFloat(a.style.width))")
    assert widths == pytest.approx([100, 300 / 7], rel=1e-3)
    details = view.locator(".measures .detail").all_inner_texts()
    assert details[:2] == [
        "Next word 0.80 nats, captions 50% of 16", "Random directions of equal norm: 0.02 nats, 1.0%; p = 0.01"
    ]  # fmt: skip
    assert details[2:] == ["Directions in which states differ: 0.40 nats, 20%; p = 0.03"]


def test_a_concept_whose_removal_does_no_more_than_chance_is_shown_as_such(page, full):
    said = {k: page.locator(f"#concept-{k} .measures").inner_text() for k in range(6)}
    assert [k for k in said if "no more than chance" in said[k]] == [
        k for k, e in enumerate(full.effects) if e.is_nothing
    ]
    assert "changes 50% of captions" in said[2]
    assert [
        shown(page, ".glance > li")[i]
        for i, line in enumerate(page.locator(".glance > li").all())
        if "no more than chance" in line.inner_text()
    ] == [k for k in shown(page) if full.effects[k].is_nothing]


def test_the_view_has_all_images_with_heat_maps_and_further_samples(page, full):
    page.locator("#concept-0 h3 a").click()
    images, others = page.locator("#view-images > li"), page.locator("#view-others > li")
    assert images.count() == 10
    assert page.locator("#concept-0 .images li >> visible=true").count() == 8
    assert images.locator("figure").evaluate_all("all => all.map(a => a.title)") == [
        h.sample_id for h in full.images[0]
    ]
    hits = {hit.sample_id for hit in full.images[0]}
    expected = [i for i in in_browser(full) if full.sample_ids[i] not in hits and full.codes[i, 0] > 0]
    expected.sort(key=lambda i: -full.codes[i, 0])
    titles = others.locator("figure").evaluate_all("all => all.map(a => a.title)")
    assert titles == [full.sample_ids[i] for i in expected[:24]]
    heat = images.locator(".heat")
    assert heat.count() == 10
    assert len(set(heat.evaluate_all("all => all.map(a => a.style.backgroundImage)"))) == 10
    boxes = [images.first.locator(part).bounding_box() for part in (".picture", ".heat")]
    assert boxes[0] == boxes[1]
    assert boxes[0]["width"] == pytest.approx(2 * boxes[0]["height"], abs=1)  # whole, as the heat map is


def test_the_heat_map_is_switched_off_and_on(page):
    page.locator("#concept-0 h3 a").click()
    button, layer, key = page.locator("#heat"), page.locator("#view-images .heat").first, page.locator("#heat-key")
    for on in (True, False, True):
        assert button.get_attribute("aria-pressed") == str(on).lower()
        assert layer.is_visible() == on
        assert key.is_visible() == on
        button.click()


def test_the_histogram_is_larger_in_the_view(page):
    small = page.locator("#concept-0 .histogram path")
    small_height, shape = small.bounding_box()["height"], small.get_attribute("d")
    page.locator("#concept-0 h3 a").click()
    large = page.locator("#view-histogram path")
    assert large.get_attribute("d") == shape
    assert large.bounding_box()["height"] > 2 * small_height
    assert "samples that activate this concept: median" in page.locator("#view-described").inner_text()


def test_similar_concepts_are_those_of_largest_cosine(page, full):
    U = full.components / np.linalg.norm(full.components, axis=1, keepdims=True)
    cosines = U @ U.T
    page.locator("#concept-1 h3 a").click()
    links = page.locator("#view .similar a")
    expected = [k for k in np.argsort(-cosines[1]).tolist() if k != 1 and cosines[1, k] > 0]
    assert [
        int(href.removeprefix("#concept-")) for href in links.evaluate_all("all => all.map(a => a.hash)")
    ] == expected
    values = [float(text) for text in page.locator("#view .similar .value").all_inner_texts()]
    assert values == pytest.approx([cosines[1, k] for k in expected], abs=6e-3)
    links.first.click()
    assert page.locator("#view-name").inner_text() == f"Concept {expected[0]}"


def test_previous_and_next_follow_the_order_on_the_page(page):
    page.locator("#order").select_option("stability")
    order = shown(page)
    page.locator(f"#concept-{order[0]} h3 a").click()
    assert page.locator("#view-before").is_disabled()
    for index in order[1:]:
        page.locator("#view-after").click()
        assert page.locator("#view-name").inner_text() == f"Concept {index}"
        assert page.url.endswith(f"#concept-{index}")
    assert page.locator("#view-after").is_disabled()
    page.locator("#view-before").click()
    assert page.locator("#view-name").inner_text() == f"Concept {order[-2]}"


def test_close_and_a_click_beside_it_close_the_view(page):
    for close in (page.locator("#view-close").click, lambda: page.mouse.click(5, 450)):
        page.locator("#concept-0 h3 a").click()
        assert page.locator("#view").is_visible()
        close()
        assert not page.locator("#view").is_visible()
        assert "#" not in page.url


def test_the_address_opens_a_concept_and_going_back_closes_it(visit, full_report, tmp_path):
    page = visit(full_report)
    page.locator("#concept-3 h3 a").click()
    page.go_back()
    assert not page.locator("#view").is_visible()
    page.go_forward()
    assert page.locator("#view-name").inner_text() == "Concept 3"
    page.reload()
    assert page.locator("#view-name").inner_text() == "Concept 3"
    page.evaluate("view.close(), show(3)")  # quicker than a browser tells that it is closed
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.url.endswith("#concept-3")
    page.goto(full_report.as_uri() + "#concept-77")
    page.reload()
    assert not page.locator("#view").is_visible()


def test_all_samples_of_a_concept_are_a_click_away(page, full):
    page.locator("#concept-4 h3 a").click()
    page.locator("#view-samples").click()
    assert not page.locator("#view").is_visible()
    assert page.locator("#of-concept").input_value() == "4"
    assert page.evaluate("document.activeElement.id") == "of-concept"
    expected = sorted((i for i in in_browser(full) if full.codes[i, 4] > 0), key=lambda i: -full.codes[i, 4])
    names = page.locator(".sample .name")
    assert names.all_inner_texts() == [full.sample_ids[i] for i in expected[:24]]
    page.locator("#of-concept").select_option("")
    assert names.first.inner_text() == full.sample_ids[in_browser(full)[0]]


def test_samples_come_in_pages(page, full):
    to_samples(page)
    expected = [full.sample_ids[i] for i in in_browser(full)]
    names, count = page.locator(".sample .name"), f"of {len(expected)}"
    assert names.all_inner_texts() == expected[:24]
    assert page.locator("#sample-range").inner_text() == f"1–24 {count}"
    assert page.locator("#samples-before").is_disabled()
    seen = expected[:24]
    for _ in range(24, len(expected), 24):
        page.locator("#samples-after").click()
        seen += names.all_inner_texts()
    assert seen == expected
    assert page.locator("#samples-after").is_disabled()
    assert page.locator("#sample-range").inner_text().endswith(f"{len(expected)} {count}")
    page.locator("#samples-before").click()
    assert page.locator("#samples-after").is_enabled()


def test_each_sample_has_its_caption_and_its_concepts_with_activations(page, full):
    to_samples(page)
    many = next(i for i in in_browser(full)[:24] if len(active(full, i)) > 4)
    entry = page.locator(".sample").filter(has=page.get_by_text(full.sample_ids[many], exact=True))
    concepts = active(full, many)
    assert entry.locator(".caption").inner_text() == full.captions[many]
    assert entry.locator("mark").all_inner_texts() == ["dog"]
    links, values = entry.locator(".active a"), entry.locator(".active .value")
    more = entry.get_by_role("button")
    assert links.evaluate_all("all => all.map(a => a.hash)") == [f"#concept-{k}" for k in concepts[:4]]
    assert more.get_attribute("aria-expanded") == "false"
    more.click()
    assert more.get_attribute("aria-expanded") == "true"
    assert links.evaluate_all("all => all.map(a => a.hash)") == [f"#concept-{k}" for k in concepts]
    assert [float(v) for v in values.all_inner_texts()] == pytest.approx(full.codes[many, concepts].tolist(), rel=6e-3)
    bars = entry.locator(".active .bar i").evaluate_all("all => all.map(a => parseFloat(a.style.width))")
    assert bars == pytest.approx((100 * full.codes[many, concepts] / full.codes[many].max()).tolist(), rel=2e-3)
    more.click()
    assert links.count() == 4
    links.nth(1).click()
    assert page.locator("#view-name").inner_text() == f"Concept {concepts[1]}"
