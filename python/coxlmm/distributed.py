"""Several processes that fit one dictionary, each to its own samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class TorchProcessGroup:
    """The processes of ``torch.distributed``, as ``process_group`` of :class:`coxlmm.SemiNMF` and :class:`coxlmm.NMF`.

    Start the processes and call ``torch.distributed.init_process_group`` as usual, say with the backend "gloo". Sums
    are of K x D + K^2 numbers an iteration. A process that has waited for the others for longer than the time limit of
    ``init_process_group`` raises.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        Some of the processes; of all without it.
    device : str, optional
        Where sums are computed: "cuda" for the backend "nccl". Without it, in the memory that they are in.

    Raises
    ------
    RuntimeError
        If ``torch.distributed`` has not been initialized.

    Examples
    --------
    In a program started by ``torchrun --nproc-per-node=2``::

        torch.distributed.init_process_group("gloo")
        model = SemiNMF(20, random_state=0, process_group=TorchProcessGroup())
        codes = model.fit_transform(X[rank::2])
    """

    def __init__(self, group: Any = None, *, device: str | None = None) -> None:
        import torch.distributed

        if not torch.distributed.is_initialized():
            raise RuntimeError("torch.distributed is not initialized: call torch.distributed.init_process_group first")
        self.rank: int = torch.distributed.get_rank(group)
        self.size: int = torch.distributed.get_world_size(group)
        self._group = group
        self._device = device

    def __deepcopy__(self, memo: dict[int, Any]) -> TorchProcessGroup:
        return self  # what it stands for cannot be copied; scikit-learn's clone asks for that

    def sum(self, values: NDArray[np.float64]) -> None:
        """Replaces ``values`` by their sums over all processes."""
        import torch.distributed

        own = torch.from_numpy(values)
        summed = own if self._device is None else own.to(self._device)
        torch.distributed.all_reduce(summed, group=self._group)
        if summed is not own:
            own.copy_(summed)
