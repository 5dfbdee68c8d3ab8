"""The law of finished runs, over every kind of place where a command keeps them."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from closedbook.evaluation.prompting.arm_files import ArmFormat, read_arm_file
from closedbook.evaluation.run_record import Run, Stage, write_run
from closedbook.training.checks.together import problem_lines
from closedbook.training.finished_runs import ArmFiles, GrowingFile, RunFolder, RunsFile, digest, refuse_another

BUDGET = {"steps": 3, "recipe": {"rates": [0.1, 0.2]}, "asked": 2, "shares": ("a", "b")}  # a tuple becomes a list
OTHER = BUDGET | {"recipe": {"rates": [0.1, 0.5]}}


@dataclass(frozen=True)
class OneArm:
    """Stands for an arm of a sweep."""

    name: str = "one"
    seed: int = 0

    def digest(self, sweep: dict[str, Any]) -> str:
        return digest([asdict(self), sweep])


def read_one_arm(path: Path) -> list[dict[str, Any]]:
    return read_arm_file(path, ArmFormat({}, settings=("name", "seed"), counts=("seed",)))


def answers(number: int = 2) -> list[dict[str, Any]]:
    whole = {"question": "Who?", "new_tokens": 1, "complete": True, "dropped": 0}
    return [{"row": row} | whole for row in range(number)]


@dataclass(frozen=True)
class Kind:
    """One kind of place in a folder of its own, for runs of one description.

    Attributes:
        look: whether the run is finished.
        record: the file of its record.
        finish: writes that.
        break_off: leaves what a killed run leaves.
        described: the file that names the description.
    """

    look: Callable[[], bool]
    record: Path
    finish: Callable[[], Any]
    break_off: Callable[[], Any]
    described: Path


def killed_stage(store: RunFolder) -> None:
    """As a run that was killed in its first stage leaves it."""

    def train(where: dict[str, Any]) -> Run:
        write_run(where["output_dir"], Run((Stage(stage="pretrain"),)))
        return Run()

    store.stage("pretrained", train)


def folder_beside_its_result(folder: Path, budget: dict[str, Any]) -> Kind:
    store = RunFolder(folder / "run", budget, folder / "results" / "run.json")

    def break_off() -> None:  # the evaluation has written its part, too
        killed_stage(store)
        store.record.parent.mkdir(exist_ok=True)
        store.record.write_text('{"accuracy": 0.5}', encoding="utf-8")

    return Kind(
        lambda: store.finished() is not None,
        store.record,
        lambda: store.finish({"accuracy": 0.5}),
        break_off,
        store.record,
    )


def folder_named_by_a_digest(folder: Path, budget: dict[str, Any]) -> Kind:
    # one folder for both descriptions: as two would have that agree in all digits
    store = RunFolder(folder / "run", budget, folder / "run" / "result.json", key=None)

    def finish() -> None:
        killed_stage(store)
        store.finish({"accuracy": 0.5})

    described = folder / "run" / "budget.json"
    return Kind(lambda: store.finished() is not None, store.record, finish, lambda: killed_stage(store), described)


def runs_in_one_file(folder: Path, budget: dict[str, Any]) -> Kind:
    store = RunsFile(folder / "results" / "probe.json", {"budget": budget, "versions": "1"})
    return Kind(
        lambda: bool(store.finished()),
        store.path,
        lambda: store.write({"runs": [{"seed": 0}]}),
        lambda: store.write({"runs": []}),
        store.path,
    )


def arms_of_a_sweep(folder: Path, budget: dict[str, Any]) -> Kind:
    store = ArmFiles(folder, budget, read_one_arm)
    # the file of an arm is named by the sweep, too; as two would be that agree in all digits
    named = ArmFiles(folder, BUDGET, read_one_arm).path(OneArm())

    def finish() -> None:
        store.begin()
        store.write(OneArm(), answers())

    return Kind(
        lambda: store.missing([OneArm()]) == [], named, finish, lambda: store.begin(), folder / "sweep.json"
    )


def rows_of_one_run(folder: Path, budget: dict[str, Any]) -> Kind:
    path = folder / "predictions.jsonl"

    def break_off() -> None:  # before the first rows counted
        folder.joinpath("predictions.jsonl.partial").write_text('{"row": 0', encoding="utf-8")
        counted = {"description": OTHER, "rows": 0, "bytes": 0, "sha256": ""}
        folder.joinpath("predictions.jsonl.partial.json").write_text(json.dumps(counted), encoding="utf-8")

    described = folder / "predictions.jsonl.partial.json"
    return Kind(
        lambda: GrowingFile(path, budget).begun() == 2,
        described,
        lambda: GrowingFile(path, budget).append(answers()),
        break_off,
        described,
    )


KINDS = [
    folder_beside_its_result,
    folder_named_by_a_digest,
    runs_in_one_file,
    arms_of_a_sweep,
    rows_of_one_run,
]


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_finished_once_its_record_was_written_and_not_before(kind, tmp_path):
    place = kind(tmp_path, BUDGET)
    assert not place.look()
    place.finish()
    assert place.look() and place.record.exists()
    assert kind(tmp_path, json.loads(json.dumps(BUDGET))).look()  # by another process


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_broken_off_is_begun_again(kind, tmp_path):
    place = kind(tmp_path, BUDGET)
    place.break_off()
    assert not place.look()
    place.finish()
    assert place.look()


@pytest.mark.parametrize("kind", KINDS)
def test_another_description_is_refused_with_the_file_and_all_that_differs(kind, tmp_path):
    place = kind(tmp_path, BUDGET)
    place.finish()
    before = content(tmp_path)
    with pytest.raises(ValueError) as refused:
        kind(tmp_path, OTHER).look()
    message = str(refused.value)
    assert message.startswith(f"{place.described} is of ")
    assert "recipe.rates.1: 0.2 there, 0.5 now" in message
    assert not any(name in message for name in ("steps", "rates.0", "shares", "versions"))
    assert message.endswith("use another folder for what this command writes, or move that file away")
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_folder_that_was_begun_by_another_description_is_refused_before_its_end_and_left_alone(kind, tmp_path):
    kind(tmp_path, BUDGET).break_off()
    before = content(tmp_path)
    for act in ("look", "break_off"):
        with pytest.raises(ValueError, match=r"budget\.json is of a run with another recipe\.rates\.1"):
            getattr(kind(tmp_path, OTHER), act)()
        assert content(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(lambda text: text[: len(text) * 2 // 3], r"line \d+ is not JSON", id="half"),
        pytest.param(lambda text: b"", "is empty|line 1 is not JSON", id="empty"),
        pytest.param(lambda text: b"[1]\n", r"line 1 has to be a JSON object, but is \[1\]", id="another thing"),
        pytest.param(lambda text: text + b"\xff", r"line \d+ is not text", id="not text"),
    ],
)
def test_a_damaged_record_is_named_with_its_line_and_left_as_it_is(kind, damage, complaint, tmp_path):
    place = kind(tmp_path, BUDGET)
    place.finish()
    place.record.write_bytes(damage(place.record.read_bytes()))
    before = content(tmp_path)
    with pytest.raises(ValueError, match=rf"{place.record}.*({complaint}).*restore it, or move it away"):
        place.look()
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_damaged_description_is_named_with_its_line(kind, tmp_path):
    place = kind(tmp_path, BUDGET)
    place.finish()
    place.described.write_text('{\n"budget": \n', encoding="utf-8")
    with pytest.raises(ValueError, match=f"{place.described}, line 3 is not JSON"):
        place.look()


# ---- descriptions


def test_what_only_one_description_names_differs_too():
    with pytest.raises(
        ValueError, match=r"another b, c, .*\(b: nothing there, 0 now; c: None there, nothing now\)"
    ):
        refuse_another(Path("f"), "a run", {"a": 1, "c": None}, {"a": 1, "b": 0})


def test_lists_of_other_lengths_are_told_whole_and_what_is_no_description_is_refused():
    with pytest.raises(ValueError, match=r"another a, .*\(a: \[1\] there, \[1, 2\] now\)"):
        refuse_another(Path("f"), "a run", {"a": [1]}, {"a": [1, 2]})
    with pytest.raises(ValueError, match=r"another description, .*'text' there, \{'a': 1\} now"):
        refuse_another(Path("f"), "a run", "text", {"a": 1})


def test_names_by_digest_are_those_of_the_first_version():
    assert digest([{"seed": 0, "attributes": ("birth_place",)}, ["--fp16"]]) == "a75a7549"
    assert digest({"b": 1, "a": "ä"}, 16) == digest({"a": "ä", "b": 1}, 16) == "a313805d22cf7d7b"


# ---- a folder a run


def test_a_stage_runs_until_it_is_finished_and_not_again(tmp_path):
    store, told = RunFolder(tmp_path, BUDGET, tmp_path / "result.json"), []

    def train(where):
        told.append(where)
        assert (tmp_path / "budget.json").exists()
        run = Run((Stage(stage="pretrain", seed=len(told), eval_loss=1.0 if len(told) == 2 else None),))
        write_run(where["output_dir"], run)
        return run

    assert [store.stage("pretrained", train).last.seed for _ in range(4)] == [1, 2, 2, 2]
    output = {"output_dir": str(tmp_path / "pretrained")}
    assert told == [output, output | {"overwrite": True}]
    assert store.finished() is None  # its stages are, and it is not


def test_a_record_holds_its_description_under_its_key_in_its_place(tmp_path):
    store = RunFolder(tmp_path, BUDGET, tmp_path / "result.json", key="settings")
    store.finish({"a": 1, "settings": BUDGET, "z": 2})
    assert list(store.finished()) == ["a", "settings", "z"]
    nameless = RunFolder(tmp_path, BUDGET, tmp_path / "other.json", key=None)
    nameless.finish({"a": 1})
    assert nameless.finished() == {"a": 1}


def test_a_result_alone_is_enough_where_its_folder_is_gone(tmp_path):
    RunFolder(tmp_path / "gone", BUDGET, tmp_path / "result.json").finish({"a": 1})
    assert RunFolder(tmp_path / "new", BUDGET, tmp_path / "result.json").finished()["a"] == 1


# ---- many runs in one file


def test_a_file_without_its_runs_or_without_its_description_is_not_one_without_runs(tmp_path):
    store = RunsFile(tmp_path / "curve.json", {"budget": BUDGET}, "accuracy")
    (tmp_path / "curve.json").write_text(json.dumps({"budget": BUDGET}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"curve\.json holds no accuracy; restore it"):
        store.finished()
    (tmp_path / "curve.json").write_text('{"accuracy": [[1, 0.5]]}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"another budget, .*budget: nothing there"):
        store.finished()


def test_runs_are_also_found_where_version_0_1_kept_them(tmp_path, capsys):
    new = RunsFile(tmp_path / "probes" / "copy.json", {"budget": BUDGET})
    RunsFile(tmp_path / "probe-copy.json", {"budget": BUDGET}).write({"runs": [{"seed": 7}]})
    assert new.finished() == [{"seed": 7}]
    assert "going on from" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"probe-copy\.json is of runs with another budget\.steps"):
        RunsFile(new.path, {"budget": BUDGET | {"steps": 4}}).finished()


# ---- an arm a file


def test_an_arm_that_answers_part_of_the_questions_or_is_another_one_is_named(tmp_path):
    store = ArmFiles(tmp_path, BUDGET, read_one_arm)
    store.begin()
    store.write(OneArm(), answers(1))
    with pytest.raises(
        ValueError, match=rf"{store.path(OneArm())} answers 1 questions, not those 2 that are asked"
    ):
        store.missing([])
    store.write(OneArm(), answers())
    store.path(OneArm()).rename(store.path(OneArm(seed=5)))
    with pytest.raises(ValueError, match=r"is of an arm with another seed, .*\(seed: 0 there, 5 now\)"):
        store.missing([OneArm(seed=5)])


def test_arms_without_a_word_of_their_sweep_are_refused_and_a_folder_without_arms_takes_any(tmp_path):
    for steps in (4, 3):
        store = ArmFiles(tmp_path, BUDGET | {"steps": steps}, read_one_arm)
        assert store.missing([OneArm()]) == [OneArm()]
        store.begin()
    store.write(OneArm(), answers())
    assert store.missing([OneArm(), OneArm("two")]) == [OneArm("two")]
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(ValueError, match=r"has arms, but no sweep\.json.*another --output_dir"):
        store.missing([OneArm()])


# ---- a file that grows


def grown(folder: Path, *parts: int) -> GrowingFile:
    file = GrowingFile(folder / "rows.jsonl", BUDGET)
    file.begun()
    for number in parts:
        file.append([{"row": file.num_rows + each, "text": "é\u2028"} for each in range(number)])
    return file


@pytest.mark.parametrize("cut", [None, b"", b'{"row": 5, "te', b'{"row": 5}\n', bytes(40)])
def test_a_file_that_was_stopped_goes_on_after_the_rows_that_count(cut, tmp_path):
    whole = grown(tmp_path / "whole", 3, 2, 4)
    whole.finish()
    whole.forget()
    file = grown(tmp_path / "stopped", 3, 2)
    if cut is not None:  # what a run wrote that was killed before it counted
        with open(file.partial, "ab") as partial:
            partial.write(cut)
    file = grown(tmp_path / "stopped")
    assert (file.num_rows, [row["row"] for row in file.rows()]) == (5, [0, 1, 2, 3, 4])
    file.append([{"row": 5 + each, "text": "é\u2028"} for each in range(4)])
    assert [row["row"] for row in file.rows()] == list(range(9))
    assert not file.path.exists()
    file.finish()
    assert grown(tmp_path / "stopped").num_rows == 9  # killed before what is made of the rows was written
    file.forget()
    assert grown(tmp_path / "stopped").num_rows == 0
    name = {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()}
    assert name == {"rows.jsonl": whole.path.read_bytes()}


@pytest.mark.parametrize("change", ["shorter", "other", "gone"])
def test_rows_that_changed_since_they_counted_are_refused(change, tmp_path):
    file = grown(tmp_path, 3)
    rows = file.partial.read_bytes()
    if change == "gone":
        file.partial.unlink()
    else:
        file.partial.write_bytes(rows[:-1] if change == "shorter" else rows.replace(b"0", b"7"))
    with pytest.raises(
        ValueError, match=r"rows\.jsonl\.partial changed since its 3 rows were written: restore it"
    ):
        grown(tmp_path)


def test_rows_of_which_nothing_says_whose_they_are_stay_where_they_are(tmp_path):
    (tmp_path / "rows.jsonl.partial").write_text("mine\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows\.jsonl\.partial has rows, but no rows\.jsonl\.partial\.json says"):
        grown(tmp_path)
    assert (tmp_path / "rows.jsonl.partial").read_text(encoding="utf-8") == "mine\n"


def test_a_full_disk_is_named_with_the_file_and_costs_only_what_was_not_counted(tmp_path, monkeypatch):
    file = grown(tmp_path, 3)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as found:
            file.append([{"row": 3}])
    assert problem_lines(found.value) == [
        f"{file.partial}: cannot be written, because the disk is full: make room, or write elsewhere"
    ]
    assert grown(tmp_path, 1).num_rows == 4


@pytest.mark.parametrize("rows", [-3, 2, 10**6, True])
def test_a_number_of_rows_that_the_file_has_not_is_refused(rows, tmp_path):
    record = tmp_path / "rows.jsonl.partial.json"
    grown(tmp_path, 3)
    record.write_text(
        json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"rows": rows}), encoding="utf-8"
    )
    with pytest.raises(
        ValueError, match=r"rows\.jsonl\.partial changed since its .* rows were written: restore it"
    ):
        grown(tmp_path)
