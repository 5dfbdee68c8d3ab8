"""Text files read block by block give what they give read whole, wherever a block ends."""

import bz2
import gzip
import hashlib
import lzma

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.tables import blocks
from closedbook.data.tables.blocks import Span, check_unchanged, read_blocks, scan_file
from closedbook.data.text_files import numbered_lines, read_file

# Line ends of all three kinds, blank lines, characters of one to four bytes, and ends that are none.
TEXTS = st.text(alphabet="ab \n\r\u00e9\u20ac\U0001d11e\u2028\x85", max_size=60)


def lines_of(path, **options):
    found = []
    for block in read_blocks(Span(path), **options):
        assert block.first_line == len(found) + 1
        found += block.lines
    return found


@settings(deadline=None, max_examples=150)
@given(text=TEXTS, size=st.integers(1, 9), mark=st.booleans())
def test_blocks_of_any_size_hold_the_lines_of_the_whole(text, size, mark, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    whole = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if whole[-1] == "":
        whole.pop()
    found = lines_of(path, block_bytes=size)
    assert found == whole
    if text.strip():
        assert [(number, line) for number, line in enumerate(found, 1) if line.strip(" ")] == numbered_lines(path)


@settings(deadline=None, max_examples=100)
@given(text=TEXTS, size=st.integers(1, 9))
def test_a_span_can_be_read_from_behind_any_block(text, size, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(text.encode())
    found = list(read_blocks(Span(path), block_bytes=size))
    whole = [line for block in found for line in block.lines]
    for block in found:
        line = block.first_line + len(block)
        rest = read_blocks(Span(path, block.next_byte, None, line), block_bytes=size + 1)
        assert [text for part in rest for text in part.lines] == whole[line - 1 :]


@settings(deadline=None, max_examples=100)
@given(text=TEXTS, size=st.integers(1, 30))
def test_the_spans_of_a_file_are_its_lines_in_their_order(text, size, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(text.encode())
    patched = pytest.MonkeyPatch()
    patched.setattr(blocks, "BLOCK_BYTES", 7)
    scan = scan_file(path, size)
    patched.undo()
    assert scan.sha256 == hashlib.sha256(text.encode()).hexdigest()
    whole, found = lines_of(path), []
    for span in scan.spans:
        assert span.first_line == len(found) + 1
        found += [line for block in read_blocks(span) for line in block.lines]
    assert found == whole
    assert all(span.stop - span.start >= size for span in scan.spans[:-1])


def test_a_line_longer_than_many_blocks_is_one_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x" * 5000 + "\nb")
    assert lines_of(path, block_bytes=7) == ["x" * 5000, "b"]


COMPRESSIONS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_compressed_files_are_read_as_what_they_hold(ending, tmp_path):
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESSIONS[ending](b"one\r\ntwo\n"))
    assert lines_of(path, block_bytes=2) == ["one", "two"]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_an_archive_that_breaks_off_is_named_or_read_up_to_there(ending, tmp_path):
    lines = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(2_000)]
    whole = COMPRESSIONS[ending]("\n".join(lines).encode())
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"a\.txt{ending}: the archive is damaged at line \d+ .*--skip_damaged"):
        lines_of(path, block_bytes=512)
    found = list(read_blocks(Span(path), skip_damaged=True, block_bytes=512))
    read = [line for block in found for line in block.lines]
    (broken,) = [number for block in found for number in block.damaged]
    assert 0 < broken == len(read) and read[:-1] == lines[: len(read) - 1] and read[-1] == ""


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_of_a_small_archive_that_breaks_off_all_is_read_that_it_still_holds(ending, tmp_path):
    """One read would get it all, and loses it all where the error comes with it."""
    lines = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(20)]
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESSIONS[ending]("\n".join(lines).encode())[:-9])
    (block,) = read_blocks(Span(path), skip_damaged=True)
    assert block.lines[:15] == lines[:15] and len(block.damaged) == 1


@pytest.mark.parametrize(("damage", "message"), [(b"\xff\xfe", "is not UTF-8"), (b"a\0b", "holds a NUL")])
def test_damaged_lines_are_named_or_left_out(damage, message, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\n" + damage + b"\nfour\n")
    with pytest.raises(ValueError, match=rf"a\.txt:3: .*{message}"):
        lines_of(path, block_bytes=3)
    for size in (3, 100):
        found = list(read_blocks(Span(path), skip_damaged=True, block_bytes=size))
        assert [line for block in found for line in block.lines] == ["one", "two", "", "four"]
        assert [number for block in found for number in block.damaged] == [3]
    with pytest.raises(ValueError) as whole:
        read_file(path)
    with pytest.raises(ValueError) as by_blocks:
        lines_of(path, block_bytes=3)
    assert str(whole.value)[:40] == str(by_blocks.value)[:40]


def test_a_file_that_grows_meanwhile_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    before = path.stat()
    check_unchanged(path, before, path.stat())
    with path.open("a") as file:
        file.write("two\n")
    with pytest.raises(ValueError, match=r"a\.txt changed while it was read"):
        check_unchanged(path, before, path.stat())
