"""What a run happened on and with: versions, hardware, commit and command, as run and result files record them."""

import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "tokenizers", "closedbook")


def run_environment() -> dict[str, Any]:
    """What the run happened on and with: `versions`, `hardware`, `commit` and `command`.

    `commit` is the checkout's commit hash, with "-dirty" appended if tracked files were changed, or None
    where the package does not run from a git checkout. `command` is the command line as it was typed.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    return {"versions": versions, "hardware": _hardware(), "commit": _commit(), "command": _command()}


def _hardware() -> str:
    """One line such as "AMD EPYC 7763, 8 cores, 31 GiB memory, NVIDIA H200 (140 GiB)"."""
    cores = psutil.cpu_count()
    parts = [
        _processor_name(),
        f"{cores} core{'s' if cores != 1 else ''}",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB memory",
    ]
    torch: Any = sys.modules.get("torch")  # a process that has not imported it has used no accelerator
    for index in range(torch.cuda.device_count() if torch else 0):
        device = torch.cuda.get_device_properties(index)
        parts.append(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)")
    return ", ".join(parts)


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux only; platform.processor() is empty or just "x86_64" there
    if cpuinfo.exists():
        name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
        if name:
            return name.group(1).strip()
    return platform.processor() or platform.machine()


def check_recordable(*folders: str | Path | None) -> None:
    """Refuse to write into the project's own results from a checkout whose files are not those of a commit.

    What README and docs show must be made again by checking a commit out. Results anywhere else, and those of an
    installed package, are the user's. Changes of results themselves do not count, so that one commit may be
    measured in several ways; files that git does not track do not either. To be called before anything slow.

    Raises:
        ValueError: naming the folder and a file that was changed.
    """
    inside = [Path(folder).resolve() for folder in folders if folder is not None]
    if _commit() is None:
        return
    checkout = Path(_git("rev-parse", "--show-toplevel")).resolve()
    for folder in inside:
        if not folder.is_relative_to(checkout) or not _git("ls-files", "--", str(folder)):
            continue
        results = folder.relative_to(checkout).parts[0]
        status = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){results}")
        if status:
            changed = status.splitlines()
            raise ValueError(
                f"{folder} holds this project's results, which are recorded from a clean commit, and "
                f"{len(changed)} files are changed ({changed[0].split()[-1]} ...): commit them first, or give "
                "another folder for the results"
            )


def _commit() -> str | None:
    try:
        # An installed copy may lie in some other project's checkout, which does not track it.
        _git("ls-files", "--error-unmatch", Path(__file__).name, folder=Path(__file__).resolve().parent)
        return _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or no commit yet
        return None


def _git(*words: str, folder: Path | None = None) -> str:
    """What git says at the root of the checkout that this file lies in, or in a folder of it."""
    if folder is None:
        folder = Path(_git("rev-parse", "--show-toplevel", folder=Path(__file__).resolve().parent))
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _command() -> str:
    if sys.argv[0].startswith("closedbook "):  # started as a command of the package, which says which one
        return shlex.join(_without_tokens([*sys.argv[0].split(), *sys.argv[1:]]))
    spec = sys.modules["__main__"].__spec__
    # With `python -m name` the first argument is not what was typed, but the full path of the module's file.
    typed = sys.argv if spec is None else ["-m", spec.name, *sys.argv[1:]]
    script, package = Path(typed[0]).resolve(), Path(__file__).resolve().parents[1]
    if spec is None and script.is_relative_to(package):  # wherever the package lies, as the README names it
        typed = [script.relative_to(package).as_posix(), *typed[1:]]
    return shlex.join(["python", *_without_tokens(typed)])


def _without_tokens(words: list[str]) -> list[str]:
    """Access tokens (`--hub_token ...`) do not belong into files that are shared."""
    hidden = []
    for word in words:
        if hidden and re.fullmatch(r"--\w*token", hidden[-1]):
            word = "..."
        hidden.append(re.sub(r"^(--\w*token)=.*", r"\1=...", word))
    return hidden
