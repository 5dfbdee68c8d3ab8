"""Freed memory goes back to the system while a model trains on a processor.

Packed rows come in batches of ever other numbers of rows, and glibc keeps what is freed of one batch in
pieces into which the next does not fit: a model of 0.66 million parameters grew by ten megabytes a step, to
five gigabytes after 480 (LOG.md). Nothing of it was in use. `malloc_trim` gives such pieces back wherever
they lie; on accelerators the library's own allocator does it, and other C libraries do not need it.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

EVERY = 20  # steps: what gathers in between stays below what a step needs, and the time cannot be measured


class GivesBack(TrainerCallback):
    """Gives freed memory back after every `EVERY` steps."""

    def __init__(self) -> None:
        self.trim = find_trim()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trim is not None and args.device.type == "cpu" and state.global_step % EVERY == 0:
            self.trim(0)


def find_trim() -> Callable[[int], int] | None:
    """The C library's `malloc_trim`; None where it has none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows takes no None
        return None
