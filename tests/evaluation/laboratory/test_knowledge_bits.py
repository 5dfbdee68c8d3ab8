"""Bits of knowledge on cases that can be worked out by hand."""

import math
import random

import pytest
import torch

from closedbook.data.people.population import Population
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article, name_pools
from closedbook.evaluation.answering import continuations
from closedbook.evaluation.answering.abilities import Abilities
from closedbook.evaluation.laboratory.knowledge_bits import Losses, knowledge_bits, measure_losses
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.tokenization_char import build_char_tokenizer


@pytest.fixture(autouse=True)
def able(monkeypatch):
    """A table reads padding after a text as nothing; it has no layers by which one could tell, nor to try."""
    can = Abilities(caches=False, shares=False, pads_between=False, pads_before=False)
    monkeypatch.setattr(continuations, "abilities", lambda *_: can)


UNIFORM = ("birth_date", "profession", "employer", "university")


def test_a_model_that_knows_everything_has_learned_all_there_is():
    losses = {"place": Losses([0.0] * 8, 16), "year": Losses([0.0] * 8, 4)}
    knowledge = knowledge_bits(losses, parameters=12)
    assert knowledge["bits"] == knowledge["most_bits"] == 8 * (4 + 2)
    assert knowledge["bits_per_parameter"] == knowledge["most_bits_per_parameter"] == 4.0
    assert knowledge["by_attribute"]["year"] == {"bits": 16.0, "most_bits": 16.0}


def test_a_model_that_predicts_uniformly_has_learned_nothing():
    knowledge = knowledge_bits({"place": Losses([math.log(16)] * 8, 16)}, parameters=5)
    assert knowledge["bits"] == pytest.approx(0, abs=1e-9)
    assert knowledge["most_bits"] == 32


def test_half_of_the_facts_known_and_half_guessed_is_half_of_the_bits():
    knowledge = knowledge_bits({"place": Losses([0.0] * 4 + [math.log(16)] * 4, 16)}, parameters=1)
    assert knowledge["bits"] == pytest.approx(16)


def test_a_perfect_model_of_names_learns_the_set_and_not_its_order():
    # each of 8 names out of 64 with probability 1/8: log2 64 - log2 8 = 3 bits a name
    knowledge = knowledge_bits({"name": Losses([math.log(8)] * 8, 64, num_people=8)}, parameters=1)
    assert knowledge["bits"] == pytest.approx(24)
    assert knowledge["most_bits"] == 24


def test_confident_guesses_are_no_knowledge():
    """Summed fact by fact and cut off at 0, as if each were counted alone, they would be worth 4 bits here."""
    right, wrong = -math.log(0.94), -math.log(0.004)
    guesses = {"place": Losses([right] + [wrong] * 15, 16)}  # one of 16 is right by chance
    assert knowledge_bits(guesses, parameters=1)["bits"] == 0


def test_an_attribute_below_nothing_takes_nothing_from_the_others():
    losses = {"place": Losses([0.0], 16), "year": Losses([9.0], 4)}
    assert knowledge_bits(losses, parameters=1)["bits"] == 4


@pytest.mark.parametrize(
    ("losses", "parameters", "message"),
    [
        ({}, 1, "nothing to count"),
        ({"place": Losses([], 4)}, 1, "nothing to count"),
        ({"place": Losses([0.1], 4)}, 0, "nothing to count"),
        ({"place": Losses([-0.1], 4)}, 1, "place: -0.1 is no loss"),
        ({"place": Losses([math.nan], 4)}, 1, "place: nan is no loss"),
    ],
)
def test_what_cannot_be_counted_is_refused(losses, parameters, message):
    with pytest.raises(ValueError, match=message):
        knowledge_bits(losses, parameters)


class TableModel:
    """Reads texts and gives each next character the probability that a list of weighted texts implies."""

    training = False

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts = tokenizer, texts
        self.device = torch.device("cpu")
        self.config = VanillaGPTConfig(max_position_embeddings=200)

    def eval(self):
        return self

    def train(self, mode):
        return self

    def __call__(self, input_ids, attention_mask, use_cache):
        logits = torch.full((*input_ids.shape, len(self.tokenizer)), -30.0)
        for row, ids in enumerate(input_ids.tolist()):
            text = self.tokenizer.decode([i for i in ids if i])
            fitting = self.texts
            for place, character in enumerate(text):
                fitting = [known for known in fitting if known[place : place + 1] == character]
                for known in fitting:
                    weight = logits[row, place, self.tokenizer.convert_tokens_to_ids(known[place + 1])]
                    weight += 1 - weight if weight == -30 else 0
                counts = {}
                for known in fitting:
                    counts[known[place + 1]] = counts.get(known[place + 1], 0) + 1
                for follower, count in counts.items():
                    logits[row, place, self.tokenizer.convert_tokens_to_ids(follower)] = math.log(count)
                if not fitting or place + 1 == len(text):
                    break
        return type("Output", (), {"logits": logits})


def statements(person, attribute, values):
    wording = ATTRIBUTES[attribute].statements[0]
    return [wording.format(name=person.name, answer=v, a=indefinite_article(v)) + " " for v in values]


@pytest.fixture(scope="module")
def people():
    population = Population(5, seed=4)
    attributes = ("profession", "employer")
    known = [t for p in population for a in attributes for t in statements(p, a, [p.facts[a]])]
    possible = [t for p in population for a in attributes for t in statements(p, a, population.values(a))]
    return population, attributes, known, possible, build_char_tokenizer(possible)


def test_the_measured_bits_of_a_model_that_knows_all_values_are_their_entropy(people):
    population, attributes, known, _, tokenizer = people
    losses = measure_losses(TableModel(tokenizer, known), tokenizer, population, attributes)
    knowledge = knowledge_bits(losses, 1000)
    for attribute, most in (("profession", 5 * math.log2(100)), ("employer", 5 * math.log2(200))):
        learned = knowledge["by_attribute"][attribute]
        assert learned["most_bits"] == pytest.approx(most)
        # half a bit a person: after "NAME was " this model also thinks of the start of other sentences
        assert learned["bits"] == pytest.approx(most, abs=5.01)


def test_the_measured_bits_of_a_model_that_knows_the_values_but_not_whose_are_none(people):
    population, attributes, _, possible, tokenizer = people
    losses = measure_losses(TableModel(tokenizer, possible), tokenizer, population, attributes)
    for attribute in attributes:
        assert losses[attribute].bits == pytest.approx(0, abs=1e-3)
        assert sum(losses[attribute].nats) == pytest.approx(5 * math.log(len(population.values(attribute))))


def test_the_first_character_of_a_name_is_charged_at_its_frequency(people):
    population, attributes, known, _, tokenizer = people
    losses = measure_losses(TableModel(tokenizer, known), tokenizer, population, attributes)["name"]
    firsts = [name[0] for name in name_pools()[0]]
    for person, loss in zip(population, losses.nats, strict=True):
        rivals = sum(other.name[0] == person.name[0] for other in population)
        assert loss == pytest.approx(-math.log(firsts.count(person.name[0]) / len(firsts) / rivals), rel=1e-4)
    assert losses.num_values == population.name_space == len(name_pools()[0]) * len(name_pools()[1])


@pytest.mark.parametrize("attribute", UNIFORM)
def test_no_value_begins_another_one_once_its_end_is_read(attribute):
    """Otherwise the probabilities of all values could sum to more than 1, and the bound would not hold."""
    end = ATTRIBUTES[attribute].statements[0].partition("{answer}")[2]
    assert end.startswith(".")
    assert not any("." in value for value in ATTRIBUTES[attribute].values())


def test_birth_places_count_only_where_they_are_equally_likely(people):
    _, _, known, _, tokenizer = people
    model = TableModel(tokenizer, known)
    with pytest.raises(ValueError, match="city_skew of 0"):
        measure_losses(model, tokenizer, Population(3), ["birth_place"])
    values = [random.Random(0).random() for _ in range(3)]
    assert Losses(values, 100).most_bits == pytest.approx(3 * math.log2(100))
