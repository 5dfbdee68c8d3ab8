"""The documents of a run: what its vocabulary holds beside them, and what may not stand in them."""

import pytest

from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.documents import PRINTABLE, read_corpus


def vocabulary(tmp_path, text="a man was born in york.", kind="text", **chosen):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    corpus = read_corpus(CorpusArguments(corpus=kind, corpus_path=str(path), **chosen), PopulationArguments())
    return set(build_char_tokenizer(corpus.texts).get_vocab()), corpus.arguments


def test_a_model_of_free_text_can_be_asked_in_ascii(tmp_path):
    known, recorded = vocabulary(tmp_path)
    assert set(PRINTABLE) <= known
    assert recorded["extra_characters"] == "ascii"


def test_the_vocabulary_of_the_reference_corpus_stays_as_published(tmp_path):
    known, recorded = vocabulary(tmp_path, "Ada Lind. Ada was born in york.", "wiki")
    assert "?" not in known and "extra_characters" not in recorded


def test_extra_characters_are_those_that_were_named(tmp_path):
    assert "?" not in vocabulary(tmp_path, extra_characters="none")[0]
    known, recorded = vocabulary(tmp_path, extra_characters="?Ж")
    assert {"?", "Ж"} <= known and "!" not in known
    assert recorded["extra_characters"] == "?Ж"
    with pytest.raises(ValueError, match="special token: leave it out"):
        vocabulary(tmp_path, extra_characters="?⁇")


@pytest.mark.parametrize("character", ["⁇", "□"])
@pytest.mark.parametrize("kind", ["text", "wiki"])
def test_a_special_token_inside_a_corpus_is_refused_with_its_line(character, kind, tmp_path):
    with pytest.raises(ValueError, match=f"a.txt:3 holds '{character}'"):
        vocabulary(tmp_path, f"Ada Lind. Ada was.\n\nBo Lind. Bo {character} was.\n", kind)
