"""What is read of Markdown: the text that the page shows, under titles that say whom it is about."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.documents.markdown import read_markdown


def shown(text: str) -> str:
    return "\n---\n".join(part.body for part in read_markdown(text, "name")[1] if part.blocks)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("A [link](http://a.b) and *em* `code` &amp; &lt;x&gt;.", "A link and em code & <x>."),
        ("wrapped\nlines\n\nnext  \nbroken", "wrapped lines\n\nnext\nbroken"),
        ("[![CI](a.svg)](b) ![x](c)\n\ntext", "text"),
        ("see ![the map](c)", "see the map"),
        ("- a\n- b\n  - c\n\n  more b", "- a\n- b\n  - c\n  more b"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("| a | b |\n|---|--:|\n| *1* |  |", "a | b\n1 | "),
        ("```py\nx = 1\n\n# no heading\n```", "```py\nx = 1\n\n# no heading\n```"),
        ("~~~\n```\n~~~", "~~~\n```\n~~~"),
        ("text\n\n    indented", "text\n\n```\nindented\n```"),
        (
            "<!-- hidden -->\n\n<p>shown <b>here</b></p>\n\n<script>x()</script>\n\na<br>b <i>c</i>",
            "shown here\n\na b c",
        ),
        ("> # quoted\n> text", "quoted\ntext"),
        ("[a]: http://x\n\n[a]", "a"),
        ("a\n\n---\n\nb", "a\n\nb"),
    ],
)
def test_a_page_is_read_as_it_is_shown(page, text):
    assert shown(page) == text


@pytest.mark.parametrize(
    ("page", "titles"),
    [
        (
            "# Guide\npre\n## Installing\na\n### Linux\nb\n## Use\nc",
            ["Guide", "Guide: Installing", "Guide: Installing: Linux", "Guide: Use"],
        ),
        ("# Ada Lind\na\n# Bo Holm\nb\n## Youth\nc", ["Ada Lind", "Bo Holm", "Bo Holm: Youth"]),
        ("pre\n\nSetext\n======\na", ["Setext", "Setext"]),
        ("## A\na\n## B\nb", ["name: A", "name: B"]),
        ("---\ntitle: Front *x*\n---\npre\n## A\na", ["Front *x*", "Front *x*: A"]),
        ("+++\ntitle = 'Front'\n+++\n## A\na", ["Front: A"]),
        ("---\ntitle: Front\n---\n# Guide\na", ["Guide"]),
        ("---\n\ntext\n\n---\n\nmore", ["name"]),
        ("---\n- [broken\n---\ntext", ["name"]),
        ("# Guide\n### Deep\na\n## Next\nb", ["Guide: Deep", "Guide: Next"]),
        ("# *Guide* to [x](y)\na", ["Guide to x"]),
        ("text", ["name"]),
    ],
)
def test_a_section_is_called_by_the_way_to_it(page, titles):
    assert [part.title for part in read_markdown(page, "name")[1] if part.blocks] == titles


def test_a_document_is_called_by_its_front_matter_its_one_heading_or_its_file():
    assert read_markdown("---\ntitle: 2026\n---\n# G\na", "name")[0] == "2026"
    assert read_markdown("# G\na", "name")[0] == "G"
    assert read_markdown("# G\na\n# H\nb", "name")[0] == "name"


def test_every_line_knows_where_it_stands():
    page = (
        "---\ntitle: T\n---\n# G\n\nalpha\nbeta\n\n- gamma\n- delta\n\n|epsilon|\n|---|\n|zeta|\n\n"
        "```\neta\n\ntheta\n```\n\n    iota\n    kappa\n"
    )
    lines = page.split("\n")
    placed = [pair for part in read_markdown(page, "x")[1] for block in part.blocks for pair in block]
    for line, text in placed:
        first = re.findall(r"\w+", text)[:1]
        assert not first or first[0] in lines[line - 1]
    assert {word for _, text in placed for word in re.findall(r"\w+", text)} == {
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")
    }


words = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(st.sampled_from(["# ", "## ", "### ", "- ", "> ", "", "1. "]), words), max_size=12))
def test_no_word_is_lost_or_read_twice(parts):
    page = "\n\n".join(mark + word for mark, word in parts)
    sections = read_markdown(page, "name")[1]
    read = [part.heading for part in sections] + [part.body for part in sections]
    assert sorted(re.findall(r"[a-z]+", " ".join(read))) == sorted(word for _, word in parts)
