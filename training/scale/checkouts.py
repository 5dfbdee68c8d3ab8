"""Another checkout's package in a process of its own, whatever is installed: to be measured beside this one.

Nothing of the package is imported here: such a process reads this file before it imports any of it.
"""

import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parents[2]

_BEGIN = """
import sys
from pathlib import Path
from runpy import run_path
run_path(sys.argv.pop(1))["import_from"](Path(sys.argv.pop(1)))
"""


def check_checkout(flag: str, folder: str | None) -> None:
    """Refuse a folder that is no checkout of this project.

    Raises:
        ValueError: naming the flag.
    """
    if folder is not None and not (Path(folder) / "scripts" / "pretrain.py").is_file():
        raise ValueError(f"--{flag} {folder} is no checkout of this project: it has no scripts/pretrain.py")


def commit_of(checkout: Path) -> str | None:
    """Hash of a checkout's commit; None where there is none."""
    words = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def import_from(checkout: Path) -> None:
    """Let `closedbook` be the package of a checkout, in which every room lies under its own name.

    The package that is installed is found later than a module that is there already.
    """
    spec = PathFinder.find_spec("closedbook", [str(checkout)])
    if spec is not None and spec.loader is not None:
        package = module_from_spec(spec)
        package.__path__ = [*package.__path__, str(checkout)]
        sys.modules["closedbook"] = package
        spec.loader.exec_module(package)
    else:  # a build whose import name was no folder yet
        package = ModuleType("closedbook")
        package.__path__ = [str(checkout)]
        sys.modules["closedbook"] = package


def python_of(checkout: Path, code: str, *argv: str) -> list[str]:
    """The command that runs some code with the package of a checkout; `sys.argv` is as given."""
    return [sys.executable, "-c", _BEGIN + code, __file__, str(checkout), *argv]
