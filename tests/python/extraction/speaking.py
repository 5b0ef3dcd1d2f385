"""What the model says that the fixtures ``speaker`` and ``lmm`` are of, whose every state is known."""

SENTENCES = ["a red dog", "one blue zebra runs", "the tabby category", "two Cats", "this hot dog"]
PROMPT = "photo of a dog:<image>"


def token(speaker, text):
    """The one token that spells a text."""
    (found,) = speaker.tokenizer.encode(text, add_special_tokens=False)
    return found
