"""Stand-in for a module that the source distribution leaves out: run a function on several CPU processes."""

import os
import socket
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing


def run_distributed(world_size: int) -> Callable[[Callable], Callable]:
    """`run_distributed(2)(function)(*args)` calls `function(rank, *args)` in two processes, over gloo."""

    def prepare(function: Callable) -> Callable:
        def run(*args) -> None:
            multiprocessing.spawn(_run_rank, (world_size, _free_port(), function, args), nprocs=world_size)

        return run

    return prepare


def _run_rank(rank: int, world_size: int, port: int, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
    )
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        function(rank, *args)
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
