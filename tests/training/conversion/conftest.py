"""The examples of cards, as somebody runs them who has the folder alone."""

import re
import subprocess
import sys

import pytest


@pytest.fixture
def run_card(tiny):
    """What the Python example of a card prints in its folder, in a process that knows nothing of this package."""

    def run(folder, shown: str, asked: str) -> str:
        card = (folder / "README.md").read_text(encoding="utf-8")
        (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        assert shown in code
        process = subprocess.run(
            [sys.executable, "-I", "-c", code.replace(shown, asked)],
            cwd=folder,
            env=tiny.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert process.returncode == 0, process.stderr[-1000:]
        return process.stdout.splitlines()[-1]

    return run
