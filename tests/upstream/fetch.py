"""Fetch transformers' own common tests from its source distribution; does nothing where they are already.

    python tests/upstream/fetch.py

They go to `.upstream/`, which git ignores. The version is the installed one.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from transformers_tests import FETCHED, VERSION


def main() -> None:
    if FETCHED.is_dir():
        return
    print(f"fetching the tests of transformers {VERSION} with pip", flush=True)
    target = FETCHED.parent
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--no-binary", ":all:", "--dest", scratch, f"transformers=={VERSION}"]
        if subprocess.run([*command, *options]).returncode:
            sys.exit(
                f"pip could not fetch the source distribution of transformers {VERSION} (its message is above)"
            )
        (archive,) = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            wanted = [member for member in tar.getmembers() if "/tests/" in member.name]
            tar.extractall(scratch, wanted, filter="data")
        # a file at its head: one of the tests looks for the package that it is part of
        extracted = Path(scratch) / f"transformers-{VERSION}"
        (extracted / "tests" / "__init__.py").touch()
        shutil.rmtree(target, ignore_errors=True)
        extracted.rename(target)


if __name__ == "__main__":
    main()
