"""The package as it is shipped: pinned versions, a wheel with everything in it, files that stay readable."""

import ast
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("modeling", "data", "evaluation", "training", "scripts")

pytestmark = pytest.mark.skipif(not (CHECKOUT / "setup.cfg").exists(), reason="runs in a checkout only")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def setup_cfg() -> ConfigParser:
    parser = ConfigParser()
    parser.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(*extras: str) -> list[Requirement]:
    config = setup_cfg()
    listed = "".join(
        [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in extras)]
    )
    return [Requirement(line) for line in listed.split("\n") if line.strip()]


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in pins)
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for requirement in requirements("dev", "icl", "harness", "facts"):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("requirement", requirements("dev", "icl"), ids=lambda requirement: requirement.name)
def test_the_installed_versions_satisfy_the_requirements(requirement):
    assert requirement.specifier.contains(version(requirement.name))


def test_every_library_that_is_imported_is_required():
    required = {canonicalize_name(requirement.name) for requirement in requirements("dev", "facts", "teach")}
    distributions = {"yaml": "pyyaml", "sklearn": "scikit-learn", "markdown_it": "markdown-it-py"}
    allowed = required | {"closedbook", "huggingface-hub"}  # the latter comes with transformers
    allowed |= {"lm-eval"}  # an extra, for the code that runs inside of it
    for path in sources(*ROOMS):
        for name in {name.split(".")[0] for name in imported(path)} - sys.stdlib_module_names:
            assert canonicalize_name(distributions.get(name, name)) in allowed, f"{path}: {name}"


def imported(path: Path) -> set[str]:
    """Modules that a file imports, other than its siblings."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sources(*ROOMS, "tests"), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_nothing_imports_a_room_by_its_bare_name(path):
    bare = [name for name in imported(path) if name.split(".")[0] in (*ROOMS, "tests") and name != "evaluate"]
    assert bare == []


def test_every_package_is_listed_in_setup_cfg():
    folders = {path.parent for path in sources(*ROOMS) if path.name == "__init__.py"}
    names = {"closedbook." + ".".join(folder.relative_to(CHECKOUT).parts) for folder in folders}
    assert names | {"closedbook"} == set(setup_cfg()["options"]["packages"].split())


def test_files_stay_short_enough_to_read():
    too_long = [path for path in sources(*ROOMS, "tests") if num_lines(path) > 600]
    too_long += [path for path in (CHECKOUT / "scripts").glob("*.py") if num_lines(path) > 200]
    too_long += [path for path in (CHECKOUT / "modeling").glob("*.py") if num_lines(path) > 420]
    assert [f"{path.relative_to(CHECKOUT)}: {num_lines(path)}" for path in too_long] == []


def test_no_file_is_named_for_nothing():
    names = {path.name for path in sources(*ROOMS, "tests")}
    assert names.isdisjoint({"utils.py", "helpers.py", "common.py", "misc.py"})


# Tests of what is in no one room, and what tests start.
NO_ROOMS = {"closedbook", "docs", "examples", "golden", "processes", "surface", "upstream"}
# Tests of several modules together; those of modeling/ are named for laws, each over every variant.
WHOLES = {
    "data/test_readers_refuse.py",  # what is damaged is named with file and line
    "data/test_reassembly.py",  # every corruption can be undone
    "evaluation/answering/test_foreign_code.py",  # code of a model's own is run by nobody unasked
    "evaluation/metrics/test_modules.py",  # each loaded by the library evaluate, from a copy
    "scripts/test_bad_input.py",
    "scripts/test_distributed.py",
    "scripts/test_pipeline.py",
    "scripts/test_recordable.py",
    "training/asking/test_published_rules.py",
    "training/conversion/test_wirings.py",  # against equations written out
    "training/publishing/test_publishing.py",  # against a small Hub
    "training/test_every_flag_counts.py",
    "training/test_large_corpora.py",  # tables on disk and streams, through whole runs
    "training/test_sharded.py",  # fully_shard around saving and resuming
}


def test_test_files_mirror_the_rooms():
    tests = CHECKOUT / "tests"
    lost = {path.name for path in tests.iterdir() if path.is_dir()} - {*ROOMS, *NO_ROOMS, "__pycache__"}
    files = [path.relative_to(tests) for room in ROOMS for path in (tests / room).rglob("test_*.py")]
    wholes = {str(path) for path in files if path.parts[0] == "modeling"} | WHOLES
    for path in files:
        module = CHECKOUT / path.parent / path.stem.removeprefix("test_")
        if not (module.with_suffix(".py").exists() or module.is_dir()):
            lost.add(str(path))
    assert lost - wholes == set()
    assert wholes <= set(map(str, files))


def tree_paths(readme: str) -> list[str]:
    """The paths that the README's tree names, relative to the checkout."""
    match = re.search(r"```[a-z]*\nclosedbook/\n(.*?)```", readme, re.DOTALL)
    if match is None:
        return []
    paths, above = [], []  # above: (column, name) of the folders around a line
    for line in match[1].splitlines():
        entry = line.lstrip(" │|├└─")
        if entry:
            column = len(line) - len(entry)
            above = [folder for folder in above if folder[0] < column]
            above.append((column, entry.split()[0].rstrip("/")))
            paths.append("/".join(name for _, name in above))
    return paths


def test_every_path_in_the_tree_of_the_readme_exists():
    paths = tree_paths((CHECKOUT / "README.md").read_text(encoding="utf-8"))
    if not paths:
        pytest.skip("the README has no tree")
    missing = [path for path in paths if not list(CHECKOUT.glob(path))]
    assert missing == []


@pytest.mark.parametrize("drawing", ["├── a/   x\n│   └── b.py  y\n└── c.md", "  a/   x\n    b.py   y\n\n  c.md"])
def test_a_tree_is_read_as_it_is_drawn(drawing):
    assert tree_paths(f"text\n```\nclosedbook/\n{drawing}\n```\n") == ["a", "a/b.py", "c.md"]


def test_a_script_runs_by_its_path_and_does_not_shadow_the_library_evaluate(tmp_path):
    command = [sys.executable, CHECKOUT / "scripts" / "evaluate.py", "--help"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "--model" in process.stdout


@pytest.mark.slow
def test_the_wheel_holds_all_that_a_user_needs(tmp_path):
    pytest.importorskip("setuptools")
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "outputs", "cs224n", "build", "tests")
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", copy, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path / "dist"]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=240)
    (wheel,) = (tmp_path / "dist").glob("closedbook-*.whl")
    target = tmp_path / "target"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", target, wheel], check=True, timeout=240
    )
    check = f"""
import sys
sys.path.insert(0, {str(target)!r})
import evaluate
from pathlib import Path
from closedbook.data.packing import PackingCollator
from closedbook.evaluation.metrics.exact_match import exact_match
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.training.experiments import demo
from closedbook.training import finetuning, pretraining
from closedbook import scripts as entry_points
from closedbook.training.asking import questions as ours
for module in (exact_match, demo, finetuning, pretraining, ours):
    assert Path(module.__file__).is_relative_to({str(target)!r}), module.__file__
scripts = Path(entry_points.__file__).parent
print(*sorted(path.relative_to(scripts).as_posix() for path in scripts.rglob("*.yaml")))
metric = evaluate.load(exact_match.__file__)
print(metric.compute(predictions=["Rome"], references=[["Rome"]]))
"""
    process = subprocess.run(
        [sys.executable, "-I", "-c", check], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr
    shipped, score = process.stdout.splitlines()[-2:]
    folder = CHECKOUT / "scripts"
    assert set(shipped.split()) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")}
    assert "exact_match" in score
