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


# glibc's numbers for two settings of `mallopt` (malloc.h), and what they become. By themselves large tensors come
# from the system at each use and go back after it, 25,000 pages a step of the reference model, each to be cleared
# first: a fifth of a step and more. So what is freed stays, up to what `EVERY` gives back anyway.
_KEPT = {
    -3: 32 << 20,  # M_MMAP_THRESHOLD: from here on a tensor is a mapping of its own; the most that glibc takes
    -1: 1 << 30,  # M_TRIM_THRESHOLD: this much may lie free at the heap's end
}


class GivesBack(TrainerCallback):
    """Freed memory stays for the next step, and goes back to the system after every `EVERY` of them."""

    def __init__(self) -> None:
        self.trim = find_trim()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trim is not None and args.device.type == "cpu":
            keep_freed()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trim is not None and args.device.type == "cpu" and state.global_step % EVERY == 0:
            self.trim(0)


def keep_freed() -> None:
    """Let the C library keep what is freed; only where there is a `malloc_trim`, which gives it back."""
    library = ctypes.CDLL(None)
    for setting, value in _KEPT.items():
        library.mallopt(setting, value)


def find_trim() -> Callable[[int], int] | None:
    """The C library's `malloc_trim`; None where it has none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows takes no None
        return None
