"""Freed memory goes back to the system."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from closedbook.training.keeping.memory import EVERY, GivesBack, find_trim

CPU, GPU = (SimpleNamespace(device=SimpleNamespace(type=kind)) for kind in ("cpu", "cuda"))


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(find_trim() is None, reason="this C library has no malloc_trim")
def test_what_is_freed_within_a_step_is_not_cleared_again_by_the_system():
    """In a process of its own, as what it sets stays."""
    program = """
import resource, torch
from types import SimpleNamespace
from closedbook.training.keeping.memory import GivesBack

def faults(number):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(number):
        torch.zeros(4_000_000)  # 16 MB, 4,000 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
GivesBack().on_train_begin(SimpleNamespace(device=SimpleNamespace(type="cpu")), None, None)
faults(3)
print(faults(10))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4_000


@pytest.mark.skipif(find_trim() is None, reason="this C library has no malloc_trim")
def test_pieces_that_lie_between_used_ones_are_given_back():
    held = [bytearray(60_000) for _ in range(5_000)]  # below what has a mapping of its own: in the heap
    for piece in held:
        piece[::4096] = b"x" * len(piece[::4096])
    kept = held[::50]
    del held, piece
    before = resident()
    GivesBack().on_step_end(CPU, SimpleNamespace(global_step=EVERY), None)
    assert before - resident() > 100_000_000
    assert len(kept) == 100


def test_it_is_done_now_and_then_and_on_processors_alone():
    calls = []
    callback = GivesBack()
    callback.trim = calls.append
    for args in (CPU, GPU):
        for step in range(1, 3 * EVERY):
            callback.on_step_end(args, SimpleNamespace(global_step=step), None)
    assert calls == [0, 0]
    callback.trim = None  # another C library
    callback.on_step_end(CPU, SimpleNamespace(global_step=EVERY), None)
