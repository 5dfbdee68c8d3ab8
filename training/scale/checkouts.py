"""Another checkout's package run in a process of its own, whatever is installed: to be measured beside this
one."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]

# An editable install finds its own files first; and before version 0.2 the package had no folder of its own.
_BEGIN = """
import sys, types
from pathlib import Path
checkout = sys.argv.pop(1)
sys.meta_path = [each for each in sys.meta_path if "__editable__" not in getattr(each, "__module__", "")]
if (Path(checkout) / "closedbook" / "__init__.py").exists():
    sys.path.insert(0, checkout)
    import closedbook
    sys.path.remove(checkout)
    closedbook.__path__ = [*closedbook.__path__, checkout]
else:
    closedbook = sys.modules["closedbook"] = types.ModuleType("closedbook")
    closedbook.__path__ = [checkout]
"""


def check_checkout(flag: str, folder: str | None) -> None:
    """Refuse a folder that is no checkout of this project.

    Raises:
        ValueError: naming the flag.
    """
    if folder is not None and not (Path(folder) / "modeling" / "modeling_gpt.py").is_file():
        raise ValueError(f"--{flag} {folder} is no checkout of this project: it has no modeling/modeling_gpt.py")


def python_of(checkout: Path, code: str, *argv: str) -> list[str]:
    """The command that runs some code with the package of a checkout; `sys.argv` is as given."""
    return [sys.executable, "-c", _BEGIN + code, str(checkout), *argv]
