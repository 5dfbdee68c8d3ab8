"""Several processes of one launch, started as a launcher would start them: by the variables that torch reads."""

import os
import socket
from pathlib import Path

import warm


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Ranks:
    """The processes of one launch on this machine.

    Args:
        tiny: the runs under test, for the environment of a child.
        command: as `warm.Process` takes it; a function of the rank for commands that differ.
        world_size: how many belong to the launch.
        folder: for what they say.
        variables: of the environment, beside those of a launch.
        start: the ranks that are started at once; the others by `add`.
    """

    def __init__(self, tiny, command, world_size, folder: Path, variables=None, start=None):
        self.tiny, self.command, self.world_size = tiny, command, world_size
        self.folder, self.variables, self.port = folder, variables or {}, str(free_port())
        self.processes: dict[int, warm.Process] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for rank in range(world_size) if start is None else start:
            self.add(rank)

    def add(self, rank: int) -> None:
        meeting = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": self.port,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        }
        meeting |= {"WORLD_SIZE": str(self.world_size), "LOCAL_WORLD_SIZE": str(self.world_size)}
        environment = self.tiny.environment(**meeting, ACCELERATE_USE_CPU="true", **self.variables)
        command = self.command(rank) if callable(self.command) else self.command
        standard = (os.devnull, str(self.folder / f"out{rank}"), str(self.folder / f"err{rank}"))
        self.processes[rank] = warm.Process(command, env=environment, standard=standard)

    def said(self, rank: int) -> str:
        return (self.folder / f"err{rank}").read_text(encoding="utf-8", errors="replace")

    def lines(self, rank: int) -> list[str]:
        """What the command itself said last: its own lines begin with the script's name."""
        return [line for line in self.said(rank).splitlines() if line.startswith("pretrain.py")]

    def wait(self, timeout: float = 200) -> list[int]:
        """The statuses of all, by rank; who does not end is killed."""
        try:
            return [self.processes[rank].wait(timeout) for rank in sorted(self.processes)]
        finally:
            self.kill()

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(9)

    def succeed(self, timeout: float = 200) -> None:
        status = self.wait(timeout)
        assert not any(status), (status, *(self.said(rank)[-3000:] for rank in sorted(self.processes)))
