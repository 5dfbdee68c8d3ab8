"""The page of all files: every file of every room, in its own words, with links that lead to it."""

from pathlib import Path

import pytest

from closedbook.evaluation.reports.generated.tree import ROOMS, tree_page


@pytest.fixture
def checkout(tmp_path) -> Path:
    for room in ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "data" / "people").mkdir()
    for name, text in {
        "data/__init__.py": '"""What is read. And more."""',
        "data/zoo.py": '"""Animals (Ark et al. 2020,\nin pairs). Not said."""',
        "data/people/names.py": '"""Who they are\n\nMore."""\nx = 1',
        "modeling/gpt.py": '"""A model."""',
    }.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


def test_files_stand_by_folder_in_the_order_of_the_rooms_with_their_first_sentence(checkout):
    assert tree_page(checkout, checkout / "docs").split("-->\n\n")[1] == (
        "## modeling/\n\n- [`gpt.py`](../modeling/gpt.py): A model.\n\n"
        "## data/\n\nWhat is read.\n\n- [`zoo.py`](../data/zoo.py): Animals (Ark et al. 2020, in pairs).\n\n"
        "## data/people/\n\n- [`names.py`](../data/people/names.py): Who they are\n"
    )


def test_links_lead_from_where_the_page_lies(checkout):
    assert "(modeling/gpt.py)" in tree_page(checkout, checkout)


def test_a_file_that_says_nothing_of_itself_is_named(checkout):
    (checkout / "training" / "mute.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mute\.py does not say what it is"):
        tree_page(checkout, checkout / "docs")


def test_outside_of_a_checkout_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a checkout: it has no closedbook, modeling"):
        tree_page(tmp_path, tmp_path)
