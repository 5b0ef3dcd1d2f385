"""The demo world: what a scene says of itself is what it shows."""

from itertools import pairwise

import numpy as np
import pytest

from coxlmm.demo import world


def test_a_scene_is_a_function_of_its_split_and_index():
    first = [np.asarray(world.scene("test", i).image) for i in range(8)]
    world._sprite.cache_clear()
    again = [np.asarray(world.scene("test", i).image) for i in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in pairwise(first))
    assert world.scene("train", 5) != world.scene("test", 5)


def test_one_drawing_in_eight_is_never_trained_on():
    drawn = {split: set() for split in world.SPLITS}
    for split in world.SPLITS:
        for scene in world.scenes(split, range(3000)):
            drawn[split] |= {o.sprite for o in scene.objects}
    assert not drawn["novel"] & (drawn["train"] | drawn["test"])
    for noun in world.NOUNS:
        seen, held_out = (len(world._drawings(noun, novel)) for novel in (False, True))
        assert abs(held_out - (seen + held_out) / 8) <= 1
    assert {world._catalogue()["sprites"][i]["noun"] for i in drawn["novel"]} == set(world.NOUNS)


def test_the_caption_names_the_objects_from_left_to_right():
    for scene in world.scenes("test", range(200)):
        lefts = [o.box[0] for o in scene.objects]
        assert lefts == sorted(lefts)
        words = scene.reference.split()
        assert [w for w in words if w in world.NOUNS] == [o.noun for o in scene.objects]
        assert scene.reference.endswith(world.BACKGROUNDS[scene.background])


def test_the_cover_is_where_the_object_changes_the_picture():
    for scene in world.scenes("test", range(50)):
        image, cover = scene.render()
        bare, _ = world.Scene(scene.split, scene.index, (), scene.background).render()
        changed = (image != bare).any(-1)
        assert not (changed & (cover.max(0) == 0)).any()
        assert changed[cover.max(0) > 0.9].mean() > 0.9
        for o, c in zip(scene.objects, cover, strict=True):
            left, top, side = o.box
            inside = np.zeros_like(c, bool)
            inside[top : top + side, left : left + side] = True
            assert c[inside].any()
            assert not c[~inside].any()


@pytest.mark.parametrize("tint", world.TINTS)
def test_a_tinted_object_has_the_hue_of_its_tint(tint):
    scene = next(s for s in world.scenes("test", range(500)) if s.objects[0].tint == tint)
    image, cover = scene.render()
    colour = image[cover[0] > 0.95].mean(0)
    nearest = min(world.TINTS, key=lambda t: -np.corrcoef(world.TINTS[t], colour)[0, 1])
    assert nearest == tint


def test_factors_are_seen_from_the_object_asked_for():
    scene = next(
        s for s in world.scenes("test", range(500), "dog") if len(s.objects) == 2 and s.objects[1].noun == "dog"
    )
    other = scene.objects[0].noun
    assert scene.factors()["noun"] == other
    assert scene.factors("dog") | {"kind": "", "style": "", "tint": "", "place": ""} == {
        "noun": "dog", "kind": "", "style": "", "tint": "", "place": "", "companion": other, "order": "second",
        "background": scene.background,
    }  # fmt: skip
    with pytest.raises(ValueError, match="not 'zebra'"):
        scene.factors("zebra")


def test_what_the_world_does_not_have_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'zebra'.*dog"):
        world.scenes("test", range(3), "zebra")
    with pytest.raises(ValueError, match=r"'validation'.*train, test, novel"):
        world.scene("validation", 0)
    with pytest.raises(ValueError, match="-1"):
        world.scene("test", -1)
