"""Train the demo model: the tower, then the connector, then its figures on scenes never seen.

One command, which goes on where it was stopped; an hour and a half on one core with bfloat16 matrix units:

    python examples/python/demo_model/train.py

It writes checkpoints and logs to ``build/demo_model`` and, at the end, the weights to
``python/coxlmm/demo/data/model``. Install the package again (``make demo`` does) before you use them.
"""

import argparse
import json
from pathlib import Path

import torch
from connector import ship, train_connector
from evaluate import evaluate
from tower import train_tower

from coxlmm import LMM
from coxlmm.demo.model import PROMPT, assemble

ROOT = Path(__file__).resolve().parents[3]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "demo_model", help="checkpoints and logs")
    parser.add_argument(
        "--ship", type=Path, default=ROOT / "python/coxlmm/demo/data/model", help="where the weights go"
    )
    parser.add_argument("--tower-steps", type=int, default=12000)
    parser.add_argument("--tower-batch", type=int, default=64)
    parser.add_argument("--connector-steps", type=int, default=1800)
    parser.add_argument("--connector-batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tower = train_tower(arguments.out, arguments.tower_steps, arguments.tower_batch)
    captioner = train_connector(tower, arguments.out, arguments.connector_steps, arguments.connector_batch)
    ship(tower, captioner, arguments.ship)
    print(f"weights written to {arguments.ship}; captioning scenes never seen")
    print(json.dumps(evaluate(LMM(*assemble(arguments.ship), prompt=PROMPT)), indent=2))
