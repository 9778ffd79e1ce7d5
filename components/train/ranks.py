"""The processes that train one model together: who this one is among them, and what they agree on.

`accelerate launch` tells each process its rank through the environment. A process that nothing launched is alone, and
then nothing here costs anything.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")
#: The others wait while the first process mines and tokenises. A process that died ends them all before, by torchrun.
_PATIENCE = timedelta(days=7)


class Ranks:
    """This process among those that train together.

    What they tell each other here goes over gloo, which waits for no GPU.

    Args:
        index: of this process, from 0; the first one alone writes what all of them made.
        count: of all processes, on all nodes.
        group: torch's process group of all of them; None when this process is alone.
    """

    def __init__(self, index: int = 0, count: int = 1, group: Any = None) -> None:
        self.index = index
        self.count = count
        self._group = group

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other processes, where the environment says that there are any; waits until all have come."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        import torch
        from accelerate import PartialState

        if not torch.cuda.is_available():
            os.environ["ACCELERATE_USE_CPU"] = "true"  # the trainer would think that it is alone
        PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
        group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
        return cls(torch.distributed.get_rank(), count, group)

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes."""
        return self.index == 0

    def largest(self, value: int) -> int:
        """Return the largest value that any process has; all of them must ask."""
        if self._group is None:
            return value
        import torch

        agreed = torch.tensor(value)
        torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MAX, group=self._group)
        return int(agreed.item())

    def wait(self) -> None:
        """Return when every process has come here."""
        if self._group is not None:
            import torch

            torch.distributed.barrier(group=self._group)

    @property
    def leads_node(self) -> bool:
        """Whether this process is the first of those on its machine."""
        return self._group is None or os.environ.get("LOCAL_RANK", "0") == "0"

    @contextmanager
    def sharing(self, folder: AbstractContextManager[Path]) -> Iterator[Path]:
        """Share the folder that the first process of this machine opens; it closes when all processes are done."""
        if self.leads_node:
            with folder as opened:
                yield self._led(opened)[self._node]
                self.wait()
            return
        yield self._led(None)[self._node]
        self.wait()

    def after_the_first(self, make: Callable[[], _T]) -> _T:
        """Return what `make` makes; the first process of each machine makes it, the others may find its files."""
        if self.leads_node:
            made = make()
            self.wait()
            return made
        self.wait()
        return make()

    def checkpoint(self, found: Sequence[Path]) -> Path | None:
        """Where all carry on from: the first of those that the first process of this machine found that all have."""
        machines = self._led(found)
        names = [{path.name for path in there} for there in machines.values()]
        return next((path for path in machines[self._node] if all(path.name in there for there in names)), None)

    @property
    def _node(self) -> str:
        return os.environ.get("GROUP_RANK", "0")

    def _led(self, own: Any) -> dict[str, Any]:
        """Return what the first process of each machine has, by machine."""
        if self._group is None:
            return {self._node: own}
        import torch

        told: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(told, (self._node, self.leads_node, own), group=self._group)
        return {node: value for node, leads, value in told if leads}
