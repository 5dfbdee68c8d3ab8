"""The notebooks of examples/: each runs from the first cell to the last, and is committed with what it showed."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb")) if EXAMPLES.is_dir() else []
PICTURES = {"look_inside": 2, "teach_a_model": 2, "ten_minutes": 4}  # how many each draws
SECONDS = 120  # for one cell, on a machine with other things to do; all of them together take less than a minute

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="runs in a checkout only")


def outputs(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook) -> list[str]:
    return [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]


def shown(notebook) -> str:
    """All text that its cells have shown."""
    found = outputs(notebook)
    texts = [output.text for output in found if output.output_type == "stream"]
    return "\n".join(texts + [output.data.get("text/plain", "") for output in found if "data" in output])


def assert_clean(notebook) -> None:
    """Nothing went wrong, warned or counted on the screen, and nothing says on which machine it ran."""
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert "stderr" not in [output.get("name") for output in outputs(notebook)]
    for trace in (r"/(home|root|tmp|work|usr|opt|Users)/", r"[A-Z]:\\", "Warning", r"it/s\]"):
        assert not re.search(trace, shown(notebook)), trace


def test_every_notebook_is_under_test():
    assert {path.stem for path in NOTEBOOKS} == set(PICTURES)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem == "ten_minutes" else [pytest.mark.slow])
        for path in NOTEBOOKS
    ],
)
def test_a_notebook_runs_in_a_fresh_kernel_and_leaves_its_pictures(path, tiny, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    places = {"IPYTHONDIR": "ipython", "JUPYTER_RUNTIME_DIR": "jupyter", "HF_MODULES_CACHE": "modules"}
    private = {name: str(tmp_path / folder) for name, folder in places.items()}
    client.execute(env=tiny.environment(CLOSEDBOOK_EXAMPLE="tiny", **private))
    assert_clean(notebook)
    assert len(pictures(notebook)) == PICTURES[path.stem]
    assert (tmp_path / "outputs" / path.stem).is_dir()  # what it writes stays where it was started


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_what_it_showed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        if "print(" in cell.source or "plt.show()" in cell.source:
            assert cell.outputs, cell.source
    assert_clean(notebook)
    assert len(pictures(notebook)) == PICTURES[path.stem]
    assert all(len(picture) > 5_000 for picture in pictures(notebook))  # an empty frame is smaller


@pytest.mark.parametrize("action", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_the_cells_pass_ruff(action):
    command = [sys.executable, "-m", "ruff", *action, "--no-cache", str(EXAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent)
    assert done.returncode == 0, done.stdout
