"""Titles of texts that have none beside them. `name_of_line` itself is tried in test_corpora.py."""

import pytest

from closedbook.data.documents.titles import title_at_head, title_of_file


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Ada Lind. Born in York.", "Ada Lind"),
        ("Ada Lind, Jr.. Born in York.", "Ada Lind, Jr."),
        ("The mill of Kirkby\n\nIt was built in 1802.", "The mill of Kirkby"),
        ("\nThe mill\n\nIt was built in 1802.", "The mill"),
        ("It was built in 1802.\n\nIt burnt.", ""),  # a sentence, no heading
        ("The history of the town begins in\nthe year 1802.", ""),  # a wrapped line
        ("The town is old. It has a mill.", ""),
        ("It was the one and only Mill. A fire", ""),  # six words and more
        ("word", ""),
    ],
)
def test_a_title_is_a_heading_line_or_a_name_and_no_sentence(text, title):
    assert title_at_head(text) == title


@pytest.mark.parametrize(
    ("file", "title"),
    [
        ("ada_lind.txt", "ada lind"),
        ("a/b/Mary-Ann.notes.md", "Mary-Ann.notes"),
        ("guide/README.md", "guide"),
        ("guide/index.md", "guide"),
        ("README.md", "README"),
        ("_.txt", "_"),
    ],
)
def test_a_file_lends_its_name_and_a_readme_its_folders(file, title):
    assert title_of_file(file) == title
