"""Processes of their own that do not wait for their imports: forked from one that has the libraries already.

    done = warm.run([script, "--flag"], cwd=folder, env=environment)     # as subprocess.run would start Python
    process = warm.Process(["-c", code])                                 # as subprocess.Popen

To import torch and transformers takes seconds, and most processes under test do nothing else for most of their
time. Here they are imported once (`libraries.py`, by the standard library's fork server); every process is a copy
of that one, in which neither this package nor anything of a test was ever imported, with an environment, a folder,
a `sys.argv` and a `sys.path` of its own.

Where it matters how a process comes to its imports, a test starts `sys.executable`: the variables that libraries
read when they are imported (`FIXED`) are those of the server. A few more have their places in `READ_EARLY`.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Read when libraries are imported, or when Python starts.
FIXED = ("OMP_", "MKL_", "ATEN_", "OPENBLAS_", "PYTHONHASHSEED", "GLIBC_", "TORCH", "TRANSFORMERS_")
# As long as these are attributes of modules that are looked up when they are needed, they can be set afterwards.
READ_EARLY = {
    "HF_MODULES_CACHE": (
        "transformers.utils.hub.HF_MODULES_CACHE",
        "transformers.dynamic_module_utils.HF_MODULES_CACHE",
        "datasets.config.HF_MODULES_CACHE",
        "evaluate.config.HF_MODULES_CACHE",
    ),
    "HF_ENDPOINT": ("huggingface_hub.constants.ENDPOINT",),
    "HF_HUB_CACHE": ("huggingface_hub.constants.HF_HUB_CACHE",),
}

_context = multiprocessing.get_context("forkserver")


class Process:
    """`python *command`, without its imports; `command` is `-c CODE ...` or `SCRIPT ...`, as after `python`.

    Args:
        cwd: folder that it runs in.
        env: all of its environment variables; those of this process by default.
        standard: what it has as standard input, output and error: paths that are opened for it.
    """

    def __init__(self, command, cwd=None, env=None, standard=(os.devnull,) * 3):
        env = dict(os.environ if env is None else env)
        _start_server()
        differing = [name for name in {*env, *_server_environment} if _fixed_differently(name, env)]
        if differing:
            raise ValueError(f"libraries were imported with other values of {', '.join(sorted(differing))}")
        words = [str(word) for word in command]
        self._process = _context.Process(target=_become, args=(words, str(cwd or Path.cwd()), env, standard))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} has not ended after {timeout} seconds")
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def run(command, cwd=None, env=None, timeout: float = 240, check: bool = False) -> subprocess.CompletedProcess:
    """Run it to its end; what it said is text of the result, as with `subprocess.run`."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        process = Process(command, cwd, env, (os.devnull, str(output), str(errors)))
        try:
            status = process.wait(timeout)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        said = [path.read_text(encoding="utf-8", errors="replace") for path in (output, errors)]
    done = subprocess.CompletedProcess(command, status, *said)
    if check and status:
        raise subprocess.CalledProcessError(status, command, *said)
    return done


_server_environment: dict[str, str] = {}


def _start_server() -> None:
    if _server_environment:
        return
    from multiprocessing.forkserver import ensure_running

    set_here = {"PYTHONPATH": str(HERE), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    set_here |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    before = {name: os.environ.get(name) for name in set_here}
    _context.set_forkserver_preload(["libraries"])
    os.environ.update(set_here)
    try:
        ensure_running()
        _server_environment.update(os.environ)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _fixed_differently(name: str, env: dict[str, str]) -> bool:
    return name.startswith(FIXED) and env.get(name) != _server_environment.get(name)


def _become(words: list[str], cwd: str, env: dict[str, str], standard: tuple[str, str, str]) -> None:
    """In the new process: everything that `python *words` would find."""
    for number, path in enumerate(standard):
        opened = os.open(path, os.O_RDWR | (os.O_CREAT if number else 0) | os.O_NOCTTY, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    if "torch" not in sys.modules or any(name.startswith("closedbook") for name in sys.modules):
        sys.exit("the fork server has not imported what it should have, and nothing else")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for variable, places in READ_EARLY.items():
        for place in places:
            module, _, attribute = place.rpartition(".")
            if variable in env and module in sys.modules:
                kind = type(getattr(sys.modules[module], attribute))  # str or Path
                setattr(sys.modules[module], attribute, kind(env[variable]))
    # What a test process has put on its path is not on that of a new one: its checkout, its cache of modules.
    installed = [path for path in sys.path if path and _is_installed(Path(path))]
    if words[0] == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        sys.path[:] = ["", *installed]
        main = sys.modules["__main__"].__dict__
        exec(compile(words[1], "<string>", "exec"), main)
    else:
        sys.argv[:] = words
        sys.path[:] = [str(Path(words[0]).resolve().parent), *installed]
        runpy.run_path(words[0], run_name="__main__")


def _is_installed(path: Path) -> bool:
    return path.is_relative_to(sys.prefix) or path.is_relative_to(sys.base_prefix)
