"""The page in small, on paper and without a script; and of dictionaries that know less."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report.visit import to_samples

WIDTHS = [390, 800, 1440]


def visible_controls(page):
    return page.locator("button, input, select").evaluate_all("all => all.filter(a => a.checkVisibility()).length")


def shot(locator):
    return Image.open(io.BytesIO(locator.screenshot())).convert("RGB")


def assert_all_is_within(page, parts="*"):
    """Nothing of the page or of a concept's view reaches beyond the screen."""
    to_samples(page)
    fits = "e => e.scrollWidth <= e.clientWidth"
    reach = "all => all.filter(a => a.checkVisibility() && a.getBoundingClientRect().right > innerWidth).length"
    assert page.locator("html").evaluate(fits)
    assert page.locator(f".page :is({parts})").evaluate_all(reach) == 0
    page.locator("#concept-0 h3 a").click()
    assert page.locator("#view").evaluate(fits)
    assert page.locator(f"#view :is({parts})").evaluate_all(reach) == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(visit, full_report, width):
    page = visit(full_report, viewport={"width": width, "height": 844})
    assert_all_is_within(page)


def test_long_words_and_names_break(visit, full, tmp_path):
    long = "x" * 300
    wide = replace(
        full,
        words=[[replace_word(word, long) for word in words] for words in full.words],
        sample_ids=[name + long for name in full.sample_ids],
        captions=[f"{caption} {long}" for caption in full.captions],
        images=[
            [replace(h, sample_id=h.sample_id + long, caption=f"{h.caption} {long}") for h in row]
            for row in full.images
        ],
        manifest=full.manifest | {"model_id": f"owner/{long}"},
    )
    page = visit(wide.report(tmp_path / "r.html", title=long), viewport={"width": 390, "height": 844})
    # Lines that end in an ellipsis hide what is longer.
    assert_all_is_within(page, "h1, dd, .words li, figcaption, .picture, .caption, .name, .scores bdi, .value")


def replace_word(word, text):
    return word._replace(text=text)


def test_each_picture_is_the_one_of_its_sample(visit, full, full_report):
    page = visit(full_report)
    own = {full.sample_ids[i]: webp for i, webp in full.thumbnails.items()}
    own |= {hit.sample_id: hit.thumbnail for hits in full.images for hit in hits}
    to_samples(page)
    shown = [
        *(
            (e.locator(".picture"), e.locator("figure").get_attribute("title"))
            for e in page.locator("#concept-3 .images li").all()[:2]
        ),
        *((e.locator(".picture"), e.locator(".name").inner_text()) for e in page.locator(".sample").all()[:2]),
    ]
    for picture, name in shown:
        drawn = np.asarray(shot(picture).resize((8, 8)), dtype=float)[2:6, 2:6]  # corners are round
        side = Image.open(io.BytesIO(own[name])).convert("RGB")
        middle = side.crop((8, 0, 24, 16))  # the card shows a square of it
        expected = np.asarray(middle.resize((8, 8)), dtype=float)[2:6, 2:6]
        assert np.abs(drawn - expected).mean() < 25, name
        others = [webp for other, webp in own.items() if other != name]
        wrong = np.asarray(
            Image.open(io.BytesIO(others[0])).convert("RGB").crop((8, 0, 24, 16)).resize((8, 8)), dtype=float
        )[2:6, 2:6]
        assert np.abs(drawn - wrong).mean() > 25


def test_without_a_script_the_page_still_reads(visit, full, full_report):
    page = visit(full_report, java_script_enabled=False)
    assert page.locator(".card[data-index]").count() == 6
    assert page.get_by_role("heading", name="Concept 4").is_visible()
    for word in full.words[4]:
        assert page.locator("#concept-4").get_by_text(word.text, exact=True).is_visible()
    assert page.locator("#concept-4 .images .picture").first.is_visible()
    assert np.asarray(shot(page.locator("#concept-4 .images .picture").first)).std() > 20  # a picture, not a blank
    for control in page.locator("button, input, select, #samples, dialog").all():
        assert not control.is_visible()
    page.locator(".glance [data-index='4'] a").click()
    assert page.url.endswith("#concept-4")


def test_on_paper_it_is_a_figure_without_controls(visit, full_report):
    page = visit(full_report, color_scheme="dark")
    to_samples(page)
    page.locator("#search").fill("word")
    page.locator("#search").fill("")
    page.locator("#theme").click()
    page.locator("#theme").click()  # dark by choice
    page.emulate_media(media="print")
    assert visible_controls(page) == 0
    for hidden in ("#samples", "nav", ".glance", "#reading", ".skip", "dialog"):
        assert not page.locator(hidden).is_visible(), hidden
    assert page.locator("h1").is_visible()
    assert page.locator(".cards > .card").count() == 6
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    fill = page.locator(".histogram path").first.evaluate("e => getComputedStyle(e).fill")
    assert fill == "rgb(31, 111, 104)"  # of the light colours
    assert page.locator("#concept-0 .picture").first.evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"
    pdf = page.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    assert len(re.findall(rb"/Subtype\s*/Image", pdf)) >= 30


def test_what_a_search_leaves_is_what_is_printed(visit, full_report):
    page = visit(full_report)
    page.locator("#search").fill("word3")
    page.emulate_media(media="print")
    assert page.locator(".cards > .card").evaluate_all(
        "all => all.filter(a => a.checkVisibility()).map(a => a.id)"
    ) == ["concept-3"]


def test_controls_of_what_is_not_known_are_absent(visit, full, tmp_path):
    old = replace(
        full,
        raw_words=[],
        thumbnails={},
        stability=None,
        effects=None,
        images=[[replace(hit, heat=None) for hit in row] for row in full.images],
    )
    page = visit(old.report(tmp_path / "r.html"))
    assert page.locator("#order option").evaluate_all("all => all.map(a => a.value)") == ["share", "error", "index"]
    assert "Stability" not in page.locator("main").inner_text()
    assert "Removing it" not in page.locator("main").inner_text()
    assert "Heat map" not in page.locator("main").inner_text()
    to_samples(page)
    grounded = {hit.sample_id for hits in full.images for hit in hits}
    assert page.locator("#sample-range").inner_text().endswith(f"of {len(grounded)}")
    page.locator("#concept-0 h3 a").click()
    headings = page.locator("#view h3 >> visible=true")
    assert headings.evaluate_all("all => all.map(a => a.firstChild.data.trim())") == [
        "Words", "Similar concepts", "Activations", "Images that activate it most", "Further samples, strongest first"
    ]  # fmt: skip
    assert not page.locator("#heat").is_visible()


def test_effects_that_were_measured_beside_one_kind_of_directions_are_shown(visit, full, tmp_path):
    alone = {"matched_divergence": None, "matched_caption_changed": None, "matched_p_value": None}
    once = replace(full, effects=[replace(effect, **alone) for effect in full.effects])
    page = visit(once.report(tmp_path / "r.html"))
    page.locator("#concept-2 h3 a").click()
    assert page.locator("#view .measures .detail").count() == 2


def test_a_dictionary_without_its_states_or_pictures_has_a_page_too(visit, full, tmp_path):
    bare = replace(
        full,
        relative_error=float("nan"),
        error_shares=np.full(6, np.nan),
        thumbnails={},
        images=[[replace(hit, thumbnail=None, heat=None) for hit in row] for row in full.images],
    )
    page = visit(bare.report(tmp_path / "r.html"))
    assert "nan" not in page.locator("main").inner_text()
    assert "Not explained" not in page.locator(".page").inner_text()
    assert page.locator("#order option").count() == 4
    assert page.locator("#concept-0 .images .blank").first.inner_text() == full.images[0][0].sample_id
    empty = replace(bare, images=[[] for _ in range(6)])
    page = visit(empty.report(tmp_path / "e.html"))
    assert "No sample activates it." in page.locator("#concept-0").inner_text()
    assert not page.locator("#samples").is_visible()
    page.locator("#search").fill("word1")
    page.locator("#concept-1 h3 a").click()
    assert page.get_by_role("dialog", name="Concept 1").is_visible()
    assert not page.locator("#view-more").is_visible()
