"""Objectives that mask several spans of a document at once, and ask for them in their order.

All share one notation. The vocabulary has a single mask character and no sentinels to number the gaps with, so
gaps are numbered by order, and a double mask parts what is read from what is asked for:

    prefix ⁇ middle ⁇ suffix ⁇⁇ first span ⁇ second span ⁇

Something always stands between two gaps, so that masks meet only where reading ends and asking begins. The spans
alone are to be predicted, each with the mask that ends it, as with T5's targets.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entities import find_entities
from .example import Example
from .windows import draw_window, draw_window_around

T5_RATE = 0.15  # share of the characters that is masked
# Characters; about a word with its space. T5's mean of three tokens would be some twelve characters, and a
# window of 112 would rarely hold a second span.
T5_MEAN_SPAN = 6
MOST_SALIENT_SPANS = 3
EXTREME_RATE = 0.5
EXTREME_MEAN_SPANS = (6, 24)  # many short spans, or few long ones
MASKED_RATES = (0.15, 0.3, 0.5)  # of the words of a copy that is read before the text itself
SMALLEST_BLOCK = 6  # characters: two of text, four masks
MODES = 3


def t5_multi_span(record: dict, random: Random, block_size: int) -> Example:
    """Several random spans of a window, 15% of its characters in all (Raffel et al. 2020, section 3.3.4).

    Raises:
        ValueError: if the block is below 6 characters.
    """
    _check_block(block_size, SMALLEST_BLOCK)
    window, spans = _random_spans(record["text"], T5_RATE, T5_MEAN_SPAN, random, block_size)
    return _ask_for_spans(window, spans)


def salient_spans(record: dict, random: Random, block_size: int) -> Example:
    """One to three entities of a window: names, places, dates, numbers.

    Salient span masking (Guu et al. 2020, REALM, section 3.4; for closed-book answers Roberts et al. 2020,
    section 3), with entities by rule. Documents without an entity that fits fall back to `t5_multi_span`.

    Raises:
        ValueError: if the block is below 6 characters.
    """
    _check_block(block_size, SMALLEST_BLOCK)
    text = record["text"]
    count = random.randint(1, min(MOST_SALIENT_SPANS, (block_size - 2) // 4))
    longest = block_size - _marks(count)
    entities = [entity for entity in find_entities(text) if len(entity.text) <= longest]
    if not entities:
        return t5_multi_span(record, random, block_size)
    anchor = random.choice(entities)
    first, last = draw_window_around(text, anchor.start, anchor.end, longest, random)
    inside = [(e.start - first, e.end - first) for e in entities if first <= e.start and e.end <= last]
    chosen = sorted(random.sample(inside, min(count, len(inside))))
    apart = [span for place, span in enumerate(chosen) if place == 0 or chosen[place - 1][1] < span[0]]
    return _ask_for_spans(text[first:last], apart)


def mixture_of_denoisers(record: dict, random: Random, block_size: int) -> Example:
    """UL2's three denoisers, equally often, each announced by its own number of masks (Tay et al. 2022).

    - `⁇`, regular (R): as `t5_multi_span`;
    - `⁇⁇`, sequential (S): the end of a window from a random place on, that is, a prefix language model;
    - `⁇⁇⁇`, extreme (X): half of the characters, as many short or as few long spans.

    The announcement stands for UL2's mode tokens: a character such as `R` could be missing in the vocabulary. A
    window begins with a character that is not masked, so that the masks in front can be counted.

    Raises:
        ValueError: if the block is below 9 characters.
    """
    _check_block(block_size, SMALLEST_BLOCK + MODES)
    mode = random.randint(1, MODES)
    text, room = record["text"], block_size - mode
    if mode == 2:
        first, last = draw_window(text, room - _marks(1), random)
        window = text[first:last]
        spans = [(random.randint(1, len(window) - 1), len(window))] if len(window) > 1 else []
    else:
        rate, mean = (T5_RATE, T5_MEAN_SPAN) if mode == 1 else (EXTREME_RATE, random.choice(EXTREME_MEAN_SPANS))
        window, spans = _random_spans(text, rate, mean, random, room, after_first=True)
    example = _ask_for_spans(window, spans)
    return Example(MASK_CHARACTER * mode + example.text, mode + example.loss_start)


def masked_reconstruction(record: dict, random: Random, block_size: int) -> Example:
    """`copy with ⁇ gaps ⁇⁇ text ⁇`: a window with gaps is read, and then the window itself predicted.

    What a model from left to right can do in place of masking: it has the whole surroundings of a gap in view, on
    both sides, and writes the text in its own order (masked fine-tuning, 2025, arXiv:2510.09885, which needs no
    paraphrases for facts to be found from either end). Every draw has other gaps: either words, as many as one of
    three rates says, or each entity of the window with an even chance. Windows and gaps are whole words.

    Raises:
        ValueError: if the block is below 9 characters.
    """
    _check_block(block_size, SMALLEST_BLOCK + 3)
    text = record["text"]
    # a gap's mark is never longer than what it stands for, so a window takes twice its length at most
    window = _whole_words(text, *draw_window(text, (block_size - 3) // 2, random))
    copy, place = "", 0
    for start, end in _draw_gaps(window, random):
        copy += window[place:start] + MASK_CHARACTER
        place = end
    context = copy + window[place:] + MASK_CHARACTER * 2
    return Example(context + window + MASK_CHARACTER, len(context))


def _whole_words(text: str, first: int, last: int) -> str:
    """The whole words of a window; the window as it is where that would leave none."""
    start, end = first, last
    if start > 0 and not text[start - 1].isspace():
        start = next((place for place in range(start, last) if text[place].isspace()), last)
    if end < len(text) and not text[end].isspace():
        end = next((place for place in range(end, start, -1) if text[place - 1].isspace()), start)
    return text[start:end].strip() or text[first:last]


def _draw_gaps(window: str, random: Random) -> list[tuple[int, int]]:
    """Stretches of a window that a copy leaves out, in their order; something is left between them and at the end.

    The mark of a gap at the end would be one with the marks behind the copy.
    """
    if random.random() < 0.5:
        found = [(entity.start, entity.end) for entity in find_entities(window)]
        drawn = [span for span in found if random.random() < 0.5] or found[:1]
    else:
        drawn = []
    if not drawn:
        words = [match.span() for match in re.finditer(r"\w+", window)]
        count = round(random.choice(MASKED_RATES) * len(words))
        drawn = sorted(random.sample(words, min(len(words), max(1, count))))
    gaps: list[tuple[int, int]] = []
    for start, end in drawn:
        end = min(end, len(window) - 1)
        if start < end and (not gaps or gaps[-1][1] < start):
            gaps.append((start, end))
    return gaps


def reassemble_masked_reconstruction(example: Example) -> str:
    """Undo `masked_reconstruction`: the window of the document.

    Raises:
        ValueError: for a text that is not in its notation.
    """
    copy, mark, text = example.text.partition(MASK_CHARACTER * 2)
    if not mark or not text.endswith(MASK_CHARACTER) or MASK_CHARACTER in text[:-1]:
        raise ValueError(f"expected a copy with gaps, a double mask and a text, got {example.text!r}")
    if not re.fullmatch(".+".join(map(re.escape, copy.split(MASK_CHARACTER))), text[:-1], re.DOTALL):
        raise ValueError(f"expected a text and a copy of it with gaps, got {example.text!r}")
    return text[:-1]


def reassemble_spans(example: Example) -> str:
    """Undo `t5_multi_span` and `salient_spans`: the window of the document.

    Raises:
        ValueError: for a text that is not in their notation.
    """
    pieces = example.text.split(MASK_CHARACTER)
    count = (len(pieces) - 3) // 2
    if len(pieces) < 3 or len(pieces) % 2 == 0 or pieces[count + 1] or pieces[-1]:
        raise ValueError(f"expected gaps, a double mask, and as many spans as gaps, got {example.text!r}")
    context, spans = pieces[: count + 1], pieces[count + 2 : -1]
    return context[0] + "".join(span + rest for span, rest in zip(spans, context[1:], strict=True))


def reassemble_mixture_of_denoisers(example: Example) -> str:
    """Undo `mixture_of_denoisers`, whichever denoiser it was.

    Raises:
        ValueError: for a text that is not in the notation.
    """
    text = example.text.lstrip(MASK_CHARACTER)
    return reassemble_spans(Example(text, 0)) if text else ""


def without_salient_spans(records: Sequence[dict]) -> int:
    """How many of `records` have no entity at all, for which `salient_spans` falls back."""
    return sum(not find_entities(record["text"]) for record in records)


def _check_block(block_size: int, smallest: int) -> None:
    if block_size < smallest:
        raise ValueError(f"a block of {block_size} characters is too small for masked spans: need {smallest}")


def _marks(count: int) -> int:
    """Mask characters of an example with `count` spans: a gap and an end each, and the double mask."""
    return 2 * count + 2


def _random_spans(
    text: str, rate: float, mean_span: int, random: Random, block_size: int, after_first: bool = False
) -> tuple[str, list[tuple[int, int]]]:
    """A window of `text`, and random spans of it, as many as `rate` and `mean_span` ask for and the block holds.

    `after_first` keeps the first character of the window out of all spans.
    """
    longest = block_size - _marks(_count(block_size - _marks(1), rate, mean_span))
    first, last = draw_window(text, longest, random)
    length = last - first
    free = length - after_first  # characters that may be masked
    if free < 1:
        return text[first:last], []
    count = _count(free, rate, mean_span)
    masked = min(max(count, round(rate * free)), free - count + 1)
    spans, place = [], 0
    # All kept stretches but the outer two need a character; drawn as if all had one more, and it taken away again.
    kept = _parts(free - masked + 2, count + 1, random)
    for number, size in enumerate(_parts(masked, count, random)):
        place += kept[number] - (number == 0)
        spans.append((place + after_first, place + size + after_first))
        place += size
    return text[first:last], spans


def _count(length: int, rate: float, mean_span: int) -> int:
    """Number of spans in a window; at least one, and not so many that they would meet."""
    return max(1, min(round(rate * length / mean_span), (length + 1) // 2))


def _parts(total: int, count: int, random: Random) -> list[int]:
    """`total` as a sum of `count` positive numbers, every such sum equally likely."""
    cuts = [0, *sorted(random.sample(range(1, total), count - 1)), total]
    return [end - start for start, end in pairwise(cuts)]


def _ask_for_spans(window: str, spans: list[tuple[int, int]]) -> Example:
    """The notation of this file, for spans in their order that do not touch."""
    context, asked, place = "", "", 0
    for start, end in spans:
        context += window[place:start] + MASK_CHARACTER
        asked += window[start:end] + MASK_CHARACTER
        place = end
    context += window[place:] + MASK_CHARACTER * 2
    return Example(context + asked, len(context))
