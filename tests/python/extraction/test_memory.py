"""Memory does not grow with the samples, beyond one vector and its caption a match.

The peak is that of the resident size of a process of its own: it has torch's tensors, which tracemalloc does not see.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()
STATUS = Path("/proc/self/status")
FEW, MANY = 1_000, 10_000
# What a match may hold besides its vector, in bytes: id, caption, tokens, position, and the objects that they are.
DESCRIPTION = 1_200

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="the resident size is read from Linux's /proc")


def resident(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def probe(out: str) -> dict[str, float]:
    """Bytes a match, between few and many images that are made as they are asked for; in a process of its own."""
    import ctypes

    import torch
    from PIL import Image
    from tiny_models import SpeakingLlava, byte_level_tokenizer

    from coxlmm import LMM, states_files

    torch.set_num_threads(1)
    # A shard is held while it is written, whatever the number of samples: small ones make that no matter.
    states_files._SHARD_BYTES = 1 << 20
    # There are as many features as tokens, so that a vector is larger than what describes it.
    speaker = SpeakingLlava(["dog"], byte_level_tokenizer(["dog", *(f"{i:03}" for i in range(180))]), "a:<image>", 1)
    lmm = LMM(speaker.model, speaker.processor, prompt=speaker.prompt)
    picture = speaker.images[0].resize((64, 64), Image.Resampling.NEAREST)
    trim = ctypes.CDLL(None).malloc_trim

    def now() -> int:
        gc.collect()
        trim(0)
        return resident("VmRSS")

    def extract(n: int) -> dict[str, int]:
        before = now()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        images = (picture.copy() for _ in range(n))  # 12 KB each, as much as four vectors
        states = lmm.extract(images, "dog", layer=0, max_new_tokens=2, batch_size=50, out=f"{out}/{n}" if out else None)
        peak = resident("VmHWM") - before
        return {"matches": len(states), "vector": 4 * states.X.shape[1], "peak": peak, "kept": now() - before}

    extract(FEW // 2)  # whatever is loaded and kept once
    few, many = extract(FEW), extract(MANY)
    growth = {key: (many[key] - few[key]) / (MANY - FEW) for key in ("peak", "kept")}
    return many | growth


@pytest.fixture(scope="module", params=["on disk", "in memory"])
def growth(request, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("states")) if request.param == "on disk" else ""
    run = subprocess.run(
        [sys.executable, str(HERE), out], capture_output=True, text=True, cwd=HERE.parents[1], check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["matches"] == MANY
    assert found["vector"] > 2 * DESCRIPTION  # or else a second one would not show
    return {**found, "where": request.param}


def test_one_vector_a_match_is_kept(growth):
    assert 0.8 * growth["vector"] < growth["kept"] < growth["vector"] + DESCRIPTION, growth


def test_the_peak_is_one_vector_a_match(growth):
    # In memory the windows' vectors are joined at the end: for that moment all is there twice.
    times = 1 if growth["where"] == "on disk" else 2
    assert growth["peak"] < times * (growth["vector"] + DESCRIPTION), growth


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    print(json.dumps(probe(sys.argv[1])))
