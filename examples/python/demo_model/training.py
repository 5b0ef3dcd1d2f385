"""What both stages share: scenes in batches, a resumable loop, checkpoints without pickles."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset


class SceneBatches(Dataset):
    """Batch number ``i`` is scenes ``i * size`` to ``(i + 1) * size`` of the training split, so that a run that was
    stopped and resumed sees exactly what an unbroken one sees."""

    def __init__(self, make: Callable[[range], dict], size: int, first: int, last: int):
        self.make, self.size, self.first, self.last = make, size, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, i: int) -> dict:
        if i >= len(self):
            raise IndexError(i)
        at = (self.first + i) * self.size
        return self.make(range(at, at + self.size))


def save_checkpoint(path: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {}
    for name, p in module.named_parameters():
        tensors[name] = p.detach().clone()
        if p in optimizer.state:  # the tower's final norm is never used, so never stepped
            tensors |= {f"{key}:{name}": optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq")}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"step": str(step)})
    os.replace(temporary, path)


def load_checkpoint(path: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    with safe_open(path, framework="pt") as f:
        step = int(f.metadata()["step"])
        for name, p in module.named_parameters():
            p.data.copy_(f.get_tensor(name))
            if f"exp_avg:{name}" in f.keys():  # noqa: SIM118 (safe_open is no mapping)
                optimizer.state[p] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": f.get_tensor(f"exp_avg:{name}"),
                    "exp_avg_sq": f.get_tensor(f"exp_avg_sq:{name}"),
                }
    return step


def train(
    module: torch.nn.Module,
    loss_of: Callable[[dict], torch.Tensor],
    make_batch: Callable[[range], dict],
    *,
    out: Path,
    name: str,
    steps: int,
    batch_size: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
    warmup: int = 100,
    evaluate: Callable[[], dict] | None = None,
    evaluate_every: int = 500,
    save_every: int = 250,
    workers: int = 1,
) -> None:
    """AdamW with warm-up and cosine decay over ``steps`` batches; goes on from ``out/<name>.safetensors`` if it is
    there, and appends one JSON line of figures every 50 steps to ``out/<name>.jsonl``."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = out / f"{name}.safetensors", out / f"{name}.jsonl"
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay)
    first = load_checkpoint(checkpoint, module, optimizer) if checkpoint.exists() else 0
    batches = DataLoader(
        SceneBatches(make_batch, batch_size, first, steps), batch_size=None, num_workers=workers, prefetch_factor=8
    )
    started, losses = time.monotonic(), []
    for step, batch in enumerate(batches, first + 1):
        rate = min(1.0, step / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step % 50 == 0 or step == steps:
            figures = {
                "step": step,
                "loss": round(sum(losses) / len(losses), 4),
                "seconds": round(time.monotonic() - started),
            }
            losses.clear()
            if evaluate and (step % evaluate_every == 0 or step == steps):
                figures |= evaluate()
            with log.open("a") as f:
                f.write(json.dumps(figures) + "\n")
            print(name, json.dumps(figures), flush=True)
        if step % save_every == 0 or step == steps:
            save_checkpoint(checkpoint, module, optimizer, step)
