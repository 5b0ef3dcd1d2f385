"""What the page says of the states, captions, words and heat maps is true of the dictionary that it is about."""

from dataclasses import replace

import numpy as np
import pytest
from report.test_page import Page

from coxlmm.localisation import METHODS
from coxlmm.report import explanation_html, report_html
from coxlmm.report.provenance import provenance_of

ABOUT_TO = ("about to write", "about to read", "next token", "where it says")
# Position: the title, what is in the lead, what is in the note on states, what words are read from.
POSITIONS = {
    "predicting": (
        "What the model represents where it says “dog”",
        "Each time the model is about to write “dog” in a caption, its hidden state is a mixture of concepts.",
        "at the output of the layer named above, at the position whose next token begins the word.",
        "Whether words can be read from such states was not checked.",
    ),
    "word": (
        "What the model represents where it reads “dog”",
        "Each time the model reads “dog” in its own caption, its hidden state is a mixture of concepts.",
        "at the word’s own first token, where the model reads it.",
        "the logit lens on states that predict what follows the word, not the word; whether words can be read so was "
        "not checked.",
    ),
    "prompt": (
        "What the model represents once it has read the prompt, for images whose captions say “dog”",
        "When the model has read the prompt with the image, and nothing of the caption, its hidden state is a mixture "
        "of concepts. Only images whose caption has “dog” count.",
        "at the last token of the prompt, before any of the caption.",
        "the logit lens on states that predict how the caption begins, not the words in it; whether",
    ),
    "visual-mean": (
        "What the model represents of images whose captions say “dog”",
        "When the model reads an image, its hidden state, averaged over the image’s tokens, is a mixture of concepts. "
        "Only images whose caption has “dog” count.",
        "averaged over the visual tokens of the image.",
        "the logit lens on states that predict no word of the caption; whether",
    ),
    "visual": (
        "What the model represents of parts of images whose captions say “dog”",
        "Each time the model reads a visual token, a part of an image, its hidden state is a mixture of concepts. "
        "Only images whose caption has “dog” count.",
        "at one visual token of the image: each is a sample of its own here.",
        "the logit lens on states that predict no word of the caption; whether",
    ),
}


@pytest.mark.parametrize("position", POSITIONS)
def test_the_page_says_at_which_position_its_states_are(dictionary, position):
    dictionary.manifest |= {"position": position, "decoding": "greedy"}
    page = Page(report_html(dictionary))
    for sentence in POSITIONS[position]:
        assert sentence in page.text
    if position != "predicting":
        assert not [claim for claim in ABOUT_TO if claim in page.text]


def test_states_of_no_named_position_predict_the_word(dictionary):
    dictionary.manifest["decoding"] = "greedy"
    assert provenance_of(dictionary).lead == POSITIONS["predicting"][1]
    dictionary.manifest["grounding"] = {"rank_of_word": 1}
    assert "not checked" not in report_html(dictionary)


@pytest.mark.parametrize("position", ["prompt", "visual-mean", "visual"])
def test_a_dictionary_of_no_word_is_not_said_to_have_one(dictionary, position):
    dictionary.manifest |= {"position": position, "decoding": "greedy", "word": None}
    provenance = provenance_of(dictionary)
    assert provenance.title.startswith("What the model represents")
    assert "“" not in provenance.title + provenance.lead
    assert "marked word" not in provenance.behind


def test_little_is_said_where_little_is_known(dictionary):
    dictionary.manifest.pop("word")
    assert provenance_of(dictionary).title == "Concepts of the model"
    assert provenance_of(dictionary).lead is None
    dictionary.manifest |= {"position": "<i>{0}", "word": "dog"}
    html = report_html(dictionary)
    assert "at the position “&lt;i&gt;{0}”" in html
    assert "Concepts of the model" in html
    dictionary.manifest.pop("layer")
    assert "at the output of a layer," in report_html(dictionary)


DECODINGS = {
    "greedy": ("about to write “dog” in a caption,", "wrote the captions itself, always with the token"),
    "sampled": ("about to write “dog” in a caption,", "wrote the captions itself, with tokens drawn at random"),
    "teacher-forced": (
        "about to read “dog” in a caption that it was given,",
        "did not write the captions: they are references that it was given to read.",
    ),
    None: ("about to read “dog” in a caption,", None),  # as the published code's
}


@pytest.mark.parametrize("decoding", DECODINGS)
def test_the_page_says_whose_the_captions_are(dictionary, decoding):
    dictionary.manifest |= {"decoding": decoding} if decoding else {}
    text = Page(report_html(dictionary)).text
    lead, note = DECODINGS[decoding]
    assert lead in text
    assert [own for _, own in DECODINGS.values() if own and own in text] == ([note] if note else [])
    assert ("where it says “dog”" in text) == (decoding in ("greedy", "sampled"))


def test_the_word_in_captions_that_were_given_is_not_the_models_own(dictionary):
    dictionary.manifest |= {"decoding": "teacher-forced", "position": "word"}
    assert "reads “dog” in a caption that it was given," in report_html(dictionary)


@pytest.mark.parametrize(
    ("stream", "lead", "note"),
    [
        ("attention", "what attention gives in one of its layers is", "The vector that attention, or what"),
        ("mlp", "what the feed-forward part gives in one of its layers is", "The vector that the feed-forward part"),
        ("final-norm", "its hidden state is", "behind its final norm"),
        ("<b>{0}", "what one of its modules gives is", "The vector that “&lt;b&gt;{0}” gives"),
    ],
)
def test_the_page_says_of_which_stream_the_states_are(dictionary, stream, lead, note):
    dictionary.manifest["stream"] = stream
    html = report_html(dictionary)
    assert lead in html
    assert note in html
    assert "at the output of" not in html
    assert ("the logit lens on what is added to states" in html) == (stream in ("attention", "mlp"))


@pytest.mark.parametrize(
    ("position", "token", "note"),
    [
        ("predicting", "last", "at the position whose next token ends the word"),
        ("predicting", "mean", "averaged over the positions whose next tokens are the word’s"),
        ("word", "last", "at the word’s own last token"),
        ("word", "mean", "averaged over the word’s own tokens"),
    ],
)
def test_the_page_says_which_of_the_words_tokens_counts(dictionary, position, token, note):
    dictionary.manifest |= {"position": position, "token": token}
    assert note in report_html(dictionary)


SHOWN = {
    "states": "what the states at the image’s own tokens have of the concept, whatever the model makes of it",
    "gradient": "what each part of the image adds to the concept’s activation, by integrated gradients",
    "occlusion": "what the concept’s activation loses when a part of the image is covered",
}


@pytest.mark.parametrize("method", METHODS)
def test_heat_maps_are_said_to_be_of_the_method_that_made_them(dog_dictionary, lmm, speaker, method):
    dog_dictionary.localise(lmm, images=speaker.images, method=method)
    assert dog_dictionary.manifest["localisation"] == {"method": method}
    html = report_html(dog_dictionary)
    assert [name for name, shown in SHOWN.items() if f"It shows {shown}" in html] == [method]
    explanation = dog_dictionary.explain(lmm, speaker.images[0], heat_maps=method)
    html = explanation_html(explanation)
    assert [name for name, shown in SHOWN.items() if f"The heat maps show {shown}" in html] == [method]


def test_the_method_that_was_used_is_kept_and_not_the_one_asked_for(dog_dictionary, lmm, speaker):
    dog_dictionary.localise(lmm, images=speaker.images, method="auto")
    assert dog_dictionary.manifest["localisation"] == {"method": "gradient"}


def test_of_heat_maps_that_were_made_somehow_no_method_is_claimed(dictionary):
    heat = np.ones((2, 2), dtype=np.float32)
    dictionary.images = [[replace(hit, heat=heat) for hit in hits] for hits in dictionary.images]
    for manifest in ({}, {"localisation": {"method": ["gradient"]}}, {"localisation": "gradient"}):
        dictionary.manifest |= manifest
        html = report_html(dictionary)
        assert "by a method that was not recorded" in html
        assert not [name for name, shown in SHOWN.items() if shown in html]
