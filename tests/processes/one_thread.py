"""Models under test compute in one thread, whatever a command asks for.

A command that is given no `--num_threads` takes all cores. Of a model of a few thousand weights that makes nothing
faster: threads wait for each other by spinning, and where two processes test at once, or anything else runs, a
run of half a second costs twenty seconds of processor time. What number a command asks for is a test of its own
(`training/test_arguments.py`).
"""

import torch

_set_num_threads = torch.set_num_threads


def compute_in_one_thread() -> None:
    """From here on, in this process: any number of threads is one."""

    def set_num_threads(number: int) -> None:
        _set_num_threads(min(number, 1))  # what is no number of threads is still refused

    torch.set_num_threads = set_num_threads
    torch.set_num_threads(1)
