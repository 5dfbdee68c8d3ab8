"""Knowledge in bits, from the losses on exactly the characters that carry it.

Allen-Zhu & Li, Physics of Language Models, part 3.3, Knowledge Capacity Scaling Laws (arXiv:2404.05405). For N
people whose names were drawn from N0 possible ones and whose values were drawn uniformly, definition 4.3 gives the
capacity ratio of a model with P parameters (natural logarithms in the losses p1 and p2):

    R     = (N log2(N0 / e^p1) + N log2(S0 / e^p2)) / P       what it has learned
    R_max = (N log2(N0 / N)    + N log2 S0)         / P       all there is to learn

p1 is the mean loss on a name, p2 the mean over people of the loss on all their values, each given name and
attribute; both are sums over the characters of the name or value, not means (remark 3.1). S0 is the number of
combinations of values. Up to lower-order terms no model can hold more bits than it has (theorem 3.2), so the
numerator is a lower bound of what its weights hold, for data drawn at random. As in definition 4.3, what the sets
of possible names and values themselves cost to know is left out.

Different here:

- A loss includes the character that ends the name or value; without it, a value that begins another one would be
  counted as known for free. This can only lower the bound.
- The first character of a text has nothing before it to be predicted from. For that of a name, the model is
  charged what the frequencies of the pool of names say.
- Where a model does worse on an attribute (or on names) than one that has learned nothing about whom, that counts
  0 instead of a negative number. Attributes are independent, so the bound holds for each alone. Single facts are
  not cut off at 0: a lucky guess would then count as knowledge and an unlucky one as nothing, and a model that
  knows nothing would seem to know something.
- The values are asked for in one wording, the first of each attribute; others might give more.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from closedbook.data.people.population import Population
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article, name_pools
from closedbook.evaluation.answering.continuations import score_continuations


@dataclass(frozen=True)
class Losses:
    """Losses on what was drawn at random for each person.

    Attributes:
        nats: the summed loss on each person's name or value, in nats.
        num_values: how many it was drawn from, each equally likely.
        num_people: how many names were drawn without replacement; None for a value. A perfect model of N people's
            names still has a loss of log N on each: which one comes next is nobody's knowledge.
    """

    nats: Sequence[float]
    num_values: int
    num_people: int | None = None

    @property
    def most_bits(self) -> float:
        """All there is to learn, in bits."""
        return len(self.nats) * math.log2(self.num_values / (self.num_people or 1))

    @property
    def bits(self) -> float:
        """The bound of what was learned, in bits, at least 0."""
        learned = len(self.nats) * math.log2(self.num_values) - math.fsum(self.nats) / math.log(2)
        return max(0.0, learned)


def knowledge_bits(losses: dict[str, Losses], parameters: int) -> dict[str, Any]:
    """Bits of knowledge, in all and by attribute, and for each parameter.

    Args:
        losses: attribute (or "name") -> losses.
        parameters: of the model, all of them.

    Returns:
        `bits`, `most_bits`, `bits_per_parameter`, `most_bits_per_parameter`, `by_attribute`.

    Raises:
        ValueError: for no losses or parameters, or a loss that is negative or not a number.
    """
    if not losses or parameters < 1 or not all(item.nats for item in losses.values()):
        raise ValueError(
            "there is nothing to count: give losses of at least one person, and a model with parameters"
        )
    for attribute, item in losses.items():
        wrong = [loss for loss in item.nats if not loss >= 0]
        if wrong:
            raise ValueError(f"{attribute}: {wrong[0]} is no loss; a loss is a number of at least 0")
    by_attribute = {name: {"bits": item.bits, "most_bits": item.most_bits} for name, item in losses.items()}
    bits, most = (math.fsum(item[name] for item in by_attribute.values()) for name in ("bits", "most_bits"))
    return {
        "bits": bits,
        "most_bits": most,
        "bits_per_parameter": bits / parameters,
        "most_bits_per_parameter": most / parameters,
        "by_attribute": by_attribute,
    }


def measure_losses(model, tokenizer, population: Population, attributes: Sequence[str]) -> dict[str, Losses]:
    """The losses of `knowledge_bits`, for a model that read its texts left to right.

    Names are asked for at the beginning of a text. Where texts also begin with other words, the model spends some
    probability on these, and the bound for names is lower by that.

    Raises:
        ValueError: for birth places of unequal frequency: the definition counts values drawn uniformly.
    """
    if "birth_place" in attributes and population.city_skew:
        raise ValueError("bits are counted for values drawn uniformly: give birth places a city_skew of 0")
    people = list(population)
    firsts = Counter(name[0] for name in name_pools()[0])
    rests = score_continuations(
        model, tokenizer, [person.name[0] for person in people], [f"{person.name[1:]} " for person in people]
    )
    names = [
        math.log(firsts.total() / firsts[person.name[0]]) - rest.log_probability
        for person, rest in zip(people, rests, strict=True)
    ]
    losses = {"name": Losses(names, population.name_space, len(people))}
    for attribute in attributes:
        before, gap, after = _statement_parts(ATTRIBUTES[attribute].statements[0])
        values = [person.facts[attribute] for person in people]
        fillings = [gap.format(answer=value, a=indefinite_article(value)) + after[0] for value in values]
        scores = score_continuations(model, tokenizer, [before.format(name=p.name) for p in people], fillings)
        losses[attribute] = Losses([-score.log_probability for score in scores], len(population.values(attribute)))
    return losses


def _statement_parts(statement: str) -> tuple[str, str, str]:
    """What stands before the value, the value, and what stands after it; its article betrays a part of it."""
    gap = "{a} {answer}" if "{a} {answer}" in statement else "{answer}"
    before, _, after = statement.partition(gap)
    return before, gap, after
