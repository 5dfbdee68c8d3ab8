"""What a result says of the machine, the versions, the commit and the command it came from."""

import json
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from closedbook.evaluation import environment as module
from closedbook.evaluation.environment import check_recordable, run_environment


@pytest.fixture(autouse=True)
def asked_anew():
    """Git is asked once a process."""
    module._commit.cache_clear()
    yield
    module._commit.cache_clear()


def test_the_environment_names_versions_and_hardware():
    environment = run_environment()
    assert environment["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    for package in (
        "torch",
        "transformers",
        "datasets",
        "accelerate",
        "evaluate",
        "tokenizers",
        "closedbook",
    ):
        assert environment["versions"][package] == version(package)
    assert " core" in environment["hardware"] and "GiB memory" in environment["hardware"]
    json.dumps(environment)


def test_a_graphics_card_is_named_with_its_memory(monkeypatch):
    card = SimpleNamespace(name="Some GPU", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    assert run_environment()["hardware"].endswith("Some GPU (24 GiB)")


def test_the_command_is_recorded_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scripts/answer.py", "--questions", "/elsewhere/my file.tsv"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert run_environment()["command"] == "python scripts/answer.py --questions '/elsewhere/my file.tsv'"


def test_a_module_run_by_name_is_recorded_by_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/closedbook/evaluation/report.py", "--output", "x"])
    spec = SimpleNamespace(name="closedbook.evaluation.reports.accuracies")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert run_environment()["command"] == "python -m closedbook.evaluation.reports.accuracies --output x"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout that tracks a stand-in for environment.py; returns the function that runs git in it."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    source = tmp_path / "evaluation" / "environment.py"
    source.parent.mkdir()
    source.write_text("first = 1\n")
    git("init", "-q")
    monkeypatch.setattr(module, "__file__", str(source))
    return git


def test_the_commit_is_that_of_the_checkout_and_marked_when_files_were_changed(tmp_path, checkout):
    assert run_environment()["commit"] is None  # nothing committed yet
    module._commit.cache_clear()
    checkout("add", "evaluation/environment.py")
    checkout("commit", "-q", "-m", "first")
    checkout("tag", "-a", "v1", "-m", "a tag does not replace the hash")
    head = checkout("rev-parse", "HEAD")
    assert run_environment()["commit"] == head
    module._commit.cache_clear()
    (tmp_path / "output.json").write_text("{}")  # untracked
    assert run_environment()["commit"] == head
    (tmp_path / "evaluation" / "environment.py").write_text("second = 2\n")
    assert run_environment()["commit"] == head  # changed behind a process that has begun
    module._commit.cache_clear()
    assert run_environment()["commit"] == f"{head}-dirty"


def test_an_installed_copy_inside_another_projects_checkout_has_no_commit(tmp_path, checkout, monkeypatch):
    checkout("add", "evaluation/environment.py")
    checkout("commit", "-q", "-m", "another project")
    installed = tmp_path / "site-packages" / "closedbook" / "evaluation" / "environment.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(module, "__file__", str(installed))
    assert run_environment()["commit"] is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert run_environment()["commit"] is None


@pytest.fixture
def project(tmp_path, checkout):
    """The checkout with a folder of results and a source file, all committed."""
    (tmp_path / "results" / "task").mkdir(parents=True)
    (tmp_path / "results" / "task" / "one.json").write_text("{}\n")
    (tmp_path / "code.py").write_text("first = 1\n")
    checkout("add", "-A")
    checkout("commit", "-q", "-m", "first")
    return tmp_path


@pytest.mark.parametrize("folder", ["results", "results/task", "results/new_subject", "outputs/../results"])
def test_a_result_of_the_project_is_recorded_from_a_clean_commit_only(project, folder):
    check_recordable(project / folder)
    (project / "code.py").write_text("second = 2\n")
    with pytest.raises(
        ValueError, match=rf"^\S*{folder} belongs to .* but code.py changed .*: commit first, or give"
    ):
        check_recordable(None, project / "outputs", project / folder)


@pytest.mark.parametrize("staged", [False, True])
def test_the_first_changed_files_are_named_and_the_others_counted(project, checkout, staged):
    for name in ("one", "two", "three", "four", "five"):
        (project / f"{name} file.py").touch()
    checkout("add", "-A")
    if not staged:
        checkout("commit", "-q", "-m", "second")
        for path in project.glob("* file.py"):
            path.unlink()
    with pytest.raises(ValueError, match=r"five file.py, four file.py, one file.py and 2 more changed"):
        check_recordable(project / "results")


def test_what_was_measured_before_and_what_git_does_not_know_are_no_changes(project):
    head = run_environment()["commit"]
    (project / "results" / "task" / "one.json").write_text("[]\n")
    (project / "results" / "task" / "two.json").write_text("{}\n")
    (project / "notes.txt").write_text("mine\n")
    check_recordable(project / "results")
    assert run_environment()["commit"] == head and not head.endswith("-dirty")


@pytest.mark.parametrize("folder", ["outputs", "results-of-mine", ".", ".."])
def test_results_elsewhere_are_the_users_own(project, folder):
    (project / "code.py").write_text("second = 2\n")
    check_recordable(project / folder, None)


def test_a_relative_folder_is_that_of_the_working_directory(project, tmp_path_factory, monkeypatch):
    (project / "code.py").write_text("second = 2\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    check_recordable("results")
    monkeypatch.chdir(project)
    with pytest.raises(ValueError, match="^results belongs to"):
        check_recordable("results")


def test_results_that_git_does_not_track_are_the_users_own(project, checkout):
    checkout("rm", "-q", "-r", "--cached", "results")
    (project / "code.py").write_text("second = 2\n")
    check_recordable(project / "results")


def test_an_installed_package_records_anywhere(project, monkeypatch):
    (project / "code.py").write_text("second = 2\n")
    monkeypatch.setattr(module, "__file__", str(project / "evaluation" / "untracked.py"))
    check_recordable(project / "results")


def test_without_git_or_without_a_commit_results_are_recorded_anywhere(tmp_path, checkout, monkeypatch):
    check_recordable(tmp_path / "results")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.json").touch()
    checkout("add", "-A")
    check_recordable(tmp_path / "results")
    monkeypatch.setenv("PATH", "")
    check_recordable(tmp_path / "results")


def test_access_tokens_never_stand_in_a_recorded_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x.py", "--hub_token", "hf_1", "--model_token=hf_2", "--seed", "1"])
    assert run_environment()["command"].endswith(" --hub_token ... --model_token=... --seed 1")
    monkeypatch.setattr(sys, "argv", ["closedbook pretrain", "--hub_token", "hf_1"])
    assert run_environment()["command"] == "closedbook pretrain --hub_token ..."
