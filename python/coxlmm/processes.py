"""Several processes that share one extraction, as ``torchrun`` and ``accelerate launch`` start them."""

import os
from datetime import timedelta
from typing import Any

import torch.distributed

# Shares of the work differ in length by hours: to wait for the others is no failure.
_PATIENCE = timedelta(days=30)


class Processes:
    """This process among those that were started together; the only one where none were.

    Where the launcher says that there are several and ``torch.distributed`` is not initialized yet, it is, with the
    backend gloo. What the processes tell each other is no more than that they are done.

    Attributes
    ----------
    rank, size : int
    """

    def __init__(self) -> None:
        self._group: Any = None
        self.rank, self.size = 0, 1
        if not torch.distributed.is_available():
            return
        if not torch.distributed.is_initialized():
            if int(os.environ.get("WORLD_SIZE", "1")) < 2:
                return
            torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if self.size > 1:
            self._group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self._group is not None:
            torch.distributed.barrier(self._group)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes in order of rank."""
        values = [value] * self.size
        if self._group is not None:
            torch.distributed.all_gather_object(values, value, group=self._group)
        return values
