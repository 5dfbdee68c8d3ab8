"""Which part of a document that is longer than the block is read."""

from random import Random


def draw_window(text: str, longest: int, random: Random) -> tuple[int, int]:
    """Start and end of a window of `longest` characters, or of the whole text where it is no longer.

    Every character has a chance. Were all places of a window equally likely, the first and the last characters
    of a text would be read in one of `len(text) - longest + 1` draws only; a window may therefore also be drawn
    up to half its length beyond either end, and is then moved inside.
    """
    overhang = len(text) - longest
    if overhang <= 0:
        return 0, len(text)
    start = min(max(random.randint(-(longest // 2), overhang + longest // 2), 0), overhang)
    return start, start + longest


def draw_window_around(text: str, start: int, end: int, longest: int, random: Random) -> tuple[int, int]:
    """Start and end of a window of at most `longest` characters that holds `text[start:end]`, at any place in it.

    `end - start` must not be above `longest`.
    """
    if len(text) <= longest:
        return 0, len(text)
    first = random.randint(max(0, end - longest), min(start, len(text) - longest))
    return first, first + longest
