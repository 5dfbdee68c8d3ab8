"""Generated blocks are what the result files give, whoever edits what is around them."""

import pytest

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports.generated.readme import BLOCKS, fill_blocks, read_task
from closedbook.evaluation.results import make_result


@pytest.fixture
def results(tmp_path):
    """A folder with one result on the reference task."""
    found = make_result(
        task="cs224n",
        split="dev",
        model="vanilla",
        parameters=10,
        protocol="mixed",
        recipe="r.yaml",
        seed=0,
        n=500,
        correct=400,
        train_characters=5,
        train_seconds=1,
    )
    write_json_atomic(tmp_path / "cs224n" / "vanilla-mixed-seed0.json", found)
    return tmp_path


def test_a_block_is_replaced_and_the_rest_is_left_alone(results):
    text = "# a\n\n<!-- report:cs224n -->\nold\n<!-- /report -->\n\n| typed | by hand |\n"
    filled = fill_blocks(text, results)
    assert "**80.0%**" in filled and "old" not in filled
    assert filled.startswith("# a\n\n<!-- report:cs224n -->\n| ")
    assert filled.endswith("|\n<!-- /report -->\n\n| typed | by hand |\n")
    assert fill_blocks(filled, results) == filled


@pytest.mark.parametrize(
    "text",
    [
        "<!-- report:cs224n -->\n",
        "<!-- /report -->\n",
        "<!-- report:cs224n -->\n<!-- report:cs224n -->\n<!-- /report -->\n",
        "<!-- report:cs224n --> <!-- /report -->\n",
        "<!-- report cs224n -->\n<!-- /report -->\n",
    ],
)
def test_markers_that_do_not_pair_up_are_refused(results, text):
    with pytest.raises(ValueError, match="do not pair up"):
        fill_blocks(text, results)


def test_an_unknown_block_is_refused_with_those_that_are_known(results):
    with pytest.raises(ValueError, match="unknown block 'speedy'; known: .*speed"):
        fill_blocks("<!-- report:speedy -->\n<!-- /report -->\n", results)


def test_a_block_without_its_results_says_what_is_missing(results):
    with pytest.raises(ValueError, match="no results in .*biographies; .*evaluate"):
        BLOCKS["biographies"](results)
    with pytest.raises(ValueError, match=r"benchmarks/training\.json does not exist"):
        BLOCKS["speed"](results)


def test_a_damaged_result_is_named(results):
    (results / "cs224n" / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json, line 1 is not JSON"):
        read_task(results, "cs224n")
    (results / "cs224n" / "broken.json").write_text("{}")
    with pytest.raises(ValueError, match=r"broken\.json lacks the fields"):
        read_task(results, "cs224n")
