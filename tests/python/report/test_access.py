"""The page without a mouse, and without seeing it."""

import pytest
from report.visit import to_samples

NAMED = {
    "button", "link", "searchbox", "combobox", "img", "image", "dialog", "navigation", "search", "region", "article",
}  # fmt: skip
OUTLINED = """(style => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)(
  getComputedStyle(document.activeElement))"""
# Contrast of every text with what it stands on, as WCAG 2 defines it; disabled controls are exempt there.
CONTRAST = """root => {
  const parse = text => { const c = text.match(/[\\d.]+/g).map(Number); return [c[0], c[1], c[2], c[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = node => {
    if (!node) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(node.parentElement));
  };
  const luminance = c => c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const found = [];
  const walk = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest(":disabled") || !node.checkVisibility()) continue;
    const below = behind(node), ink = over(parse(getComputedStyle(node).color), below);
    const [a, b] = [luminance(ink), luminance(below)].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), walk.currentNode.data.trim().slice(0, 30)]);
  }
  return found;
}"""


@pytest.fixture
def page(visit, full_report):
    return visit(full_report)


def nodes(page):
    """What assistive technology is told: role, name and states of everything that is not hidden from it."""
    session = page.context.new_cdp_session(page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        (
            node["role"]["value"],
            node.get("name", {}).get("value", ""),
            {p["name"]: p["value"].get("value") for p in node.get("properties", [])},
        )
        for node in tree
        if not node["ignored"]
    ]


def focused(page):
    return page.evaluate("(document.activeElement.id || document.activeElement.textContent.trim())")


@pytest.mark.parametrize("view", [False, True])
def test_everything_that_can_be_used_or_seen_has_a_name(page, view):
    if view:
        page.locator("#concept-0 h3 a").click()
    else:
        to_samples(page)
    found = [(role, name) for role, name, _ in nodes(page) if role in NAMED]
    assert len(found) > 30
    assert [role for role, name in found if not name.strip()] == []


def test_landmarks_and_states_are_told(page):
    to_samples(page)
    found = nodes(page)
    roles = [role for role, _, _ in found]
    for landmark in ("banner", "navigation", "main", "search", "contentinfo"):
        assert roles.count(landmark) == 1, landmark
    states = {name: properties for role, name, properties in found if role == "button"}
    assert states["Dark"]["pressed"] == "false"
    more = [properties["expanded"] for name, properties in states.items() if "more concepts of sample" in name]
    assert more
    assert not any(more)
    assert ("status", "") in {(role, name) for role, name, _ in found}  # where search says how much it found
    assert {name for role, name, _ in found if role == "searchbox"} == {"Search"}
    assert {name for role, name, _ in found if role == "combobox"} == {"Order", "That activate"}
    page.locator("#concept-0 h3 a").click()
    (dialog,) = [(name, properties) for role, name, properties in nodes(page) if role == "dialog"]
    assert dialog[0] == "Concept 0"
    assert dialog[1]["modal"] is True
    assert {name for role, name, _ in nodes(page) if role == "button"} == {
        "Previous concept", "Next concept", "Close", "Heat map", "All its samples"
    }  # fmt: skip


def test_the_first_tab_skips_to_the_concepts(page):
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the concepts")
    assert link.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert focused(page) == "concepts"
    page.keyboard.press("Tab")
    first = page.locator(".cards h3 a").first.inner_text()
    assert focused(page) == first


def test_tab_goes_through_everything_in_the_order_in_which_it_is_read_and_shows_where_it_is(page):
    expected = page.eval_on_selector_all(
        "a[href], button, input, select, [tabindex='0']",
        "all => all.filter(a => !a.disabled && !a.closest('dialog') && a.checkVisibility())"
        ".map(a => a.id || a.textContent.trim())",
    )
    first_samples = expected.index("of-concept")
    seen, invisible = [], []
    for _ in expected[: first_samples + 1]:
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if not page.evaluate(OUTLINED):
            invisible.append(seen[-1])
    assert seen == expected[: first_samples + 1]
    assert invisible == []


def test_a_concept_is_read_and_left_by_keys_alone(page):
    opener = page.locator(".cards h3 a").nth(1)
    opener.focus()
    names = page.locator(".cards h3 a").all_inner_texts()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog", name=names[1]).is_visible()
    assert focused(page) == "view-name"  # a screen reader begins with what the view is of
    inside = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        inside.add(
            page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
        )
    assert inside == {True}  # the page behind is out of reach
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-name").inner_text() == names[2]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#view-name").inner_text() == names[0]
    page.keyboard.press("ArrowLeft")  # there is none before
    assert page.locator("#view-name").inner_text() == names[0]
    page.locator("#view-after").focus()
    for _ in names[1:]:
        page.keyboard.press("Enter")
    assert page.locator("#view-name").inner_text() == names[-1]
    assert focused(page) == "view-name"  # the button leads no further, and the focus is not lost with it
    similar = page.locator("#view .similar a").first
    similar.focus()
    page.keyboard.press("Enter")
    assert focused(page) == "view-name"  # the link is gone
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible()
    assert focused(page) == names[1]


def test_arrows_go_from_card_to_card_that_is_shown(page):
    page.locator("#search").fill("word")
    links = page.locator(".cards h3 a")
    names = links.all_inner_texts()
    links.first.focus()
    page.keyboard.press("ArrowRight")
    assert focused(page) == names[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert focused(page) == names[0]


def test_a_slash_begins_a_search_but_is_a_letter_in_one(page):
    page.keyboard.press("/")
    assert focused(page) == "search"
    assert page.locator("#search").input_value() == ""
    page.keyboard.type("1/2")
    assert page.locator("#search").input_value() == "1/2"
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.locator("#concept-0 h3 a").click()
    page.keyboard.press("/")
    assert focused(page) == "view-name"


def test_order_and_switches_work_by_keys(page):
    page.locator("#order").focus()
    page.keyboard.press("End")
    assert page.locator(".cards > .card").evaluate_all("all => all.map(a => a.id)") == [
        f"concept-{k}" for k in range(6)
    ]
    page.locator("#theme").focus()
    page.keyboard.press("Space")
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_is_on(visit, full_report, scheme):
    page = visit(full_report, color_scheme=scheme)
    to_samples(page)
    found = page.evaluate(CONTRAST, ".page")
    page.locator("#concept-1 h3 a").click()
    found += page.evaluate(CONTRAST, "dialog")
    assert len(found) > 300
    assert [text for ratio, text in found if ratio < 4.5] == []
