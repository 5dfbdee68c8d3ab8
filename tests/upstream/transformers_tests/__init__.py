"""transformers' own common tests as one importable package: the fetched files, and stand-ins for what they need.

The source distribution holds `tests/test_*.py` alone, which import from sub-packages that it leaves out.
Those few modules stand in this folder, under the names that the fetched files ask for, and `__path__` puts
both folders together.
"""

from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
# constraints.txt pins the version that is installed, and the tests have to be those of just that version
VERSION = version("transformers")
FETCHED = REPOSITORY / ".upstream" / f"transformers-{VERSION}" / "tests"
ABSENT = f"transformers {VERSION}'s own tests are not here: run tests/upstream/fetch.py (make test-upstream does)"

__path__.append(str(FETCHED))
