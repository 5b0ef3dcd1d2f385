"""Models whose logit lens gives every token the score that a test asks for."""

import numpy as np
import torch
from tiny_models import tiny_llava

from coxlmm import LMM

N_FEATURES = 32
COMPONENT = np.eye(1, N_FEATURES, dtype=np.float32)


def scoring(tokenizer, *scores):
    """A model that gives each token of ``scores[k]`` its score for ``components(len(scores))[k]``, to all others 0."""
    lmm = LMM(*tiny_llava(tokenizer=tokenizer))
    weight = lmm.model.get_output_embeddings().weight
    directions = lmm.normalize(components(len(scores)))
    inverse = np.linalg.pinv(directions)  # a token's row answers its score to its own direction, 0 to the others
    with torch.no_grad():
        weight.zero_()
        for k, own in enumerate(scores):
            for token, score in own.items():
                index = tokenizer.convert_tokens_to_ids(token)
                assert tokenizer.convert_ids_to_tokens(index) == token
                weight[index] += torch.from_numpy(score * inverse[:, k])
    return lmm


def components(n):
    """Orthogonal concept vectors of that many concepts."""
    return np.eye(n, N_FEATURES, dtype=np.float32)
