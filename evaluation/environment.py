"""What a run happened on and with: versions, hardware, commit and command, as run and result files record them."""

import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from closedbook.data.secrets import withhold_words

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "tokenizers", "closedbook")
_RESULTS = "results"  # the project's own, in the folder of the package


def run_environment() -> dict[str, Any]:
    """What the run happened on and with: `versions`, `hardware`, `commit` and `command`.

    `commit` is the checkout's commit hash, with "-dirty" appended if tracked files, results aside, were
    changed, or None where the package does not run from a git checkout: as it was when this process first asked,
    for the code that it runs is no later one. `command` is the command line as it was typed, without secrets
    (`secrets.py`).
    """
    return {
        "versions": dict(_versions()),
        "hardware": _hardware(),
        "commit": _commit(_package()),
        "command": _command(),
    }


@cache
def _versions() -> dict[str, str]:
    """Of Python and the packages: those that this process began with."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


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
    installed package, are the user's. To be called before anything slow; git is asked only if it matters.

    Args:
        folders: Where results are to be written, None for a result that is not kept.

    Raises:
        ValueError: Naming the folder and files that were changed.
    """
    kept = _package() / _RESULTS
    inside = [folder for folder in folders if folder is not None and Path(folder).resolve().is_relative_to(kept)]
    try:
        changed = _changed_files(_RESULTS) if inside else []
    except (OSError, subprocess.CalledProcessError):  # there is no commit that a result could name
        return
    if changed:
        named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise ValueError(
            f"{inside[0]} belongs to this project's own results, which are recorded from a clean commit, but "
            f"{named} changed since the last one: commit first, or give another folder for the results"
        )


@cache  # a run tells it with every checkpoint, and git takes three processes to answer
def _commit(package: Path) -> str | None:
    try:
        return _git("rev-parse", "HEAD") + ("-dirty" if _changed_files() else "")
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or no commit yet
        return None


def _changed_files(*tracked: str) -> list[str]:
    """Files of the package that are not as the commit has them.

    Results do not count, because measuring one commit twice replaces some, nor do files that git does not track.

    Raises:
        OSError: If there is no git.
        subprocess.CalledProcessError: If there is no commit, or git does not track this file, as in an installed
            copy that lies in some other project's checkout, or nothing in one of the folders `tracked`.
    """
    this = Path(__file__).resolve().relative_to(_package()).as_posix()
    _git("ls-files", "--error-unmatch", "--", this, *tracked)
    changed = _git("diff", "--relative", "--name-only", "HEAD", "--", ".", f":(exclude){_RESULTS}")
    return changed.splitlines()


def _git(*words: str) -> str:
    """What git says in the folder of the package."""
    done = subprocess.run(["git", *words], cwd=_package(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _package() -> Path:
    return Path(__file__).resolve().parents[1]


def _command() -> str:
    if sys.argv[0].startswith("closedbook "):  # started as a command of the package, which says which one
        return shlex.join(withhold_words([*sys.argv[0].split(), *sys.argv[1:]]))
    spec = sys.modules["__main__"].__spec__
    # With `python -m name` the first argument is not what was typed, but the full path of the module's file.
    typed = sys.argv if spec is None else ["-m", spec.name, *sys.argv[1:]]
    script, package = Path(typed[0]).resolve(), _package()
    if spec is None and script.is_relative_to(package):  # wherever the package lies, as the README names it
        typed = [script.relative_to(package).as_posix(), *typed[1:]]
    return shlex.join(["python", *withhold_words(typed)])
