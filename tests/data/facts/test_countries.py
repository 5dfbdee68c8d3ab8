"""Countries in a small invented copy of the package's columns, with every trap that the real ones hold."""

import pytest

from closedbook.data.facts.countries import countries, country_name

LANGUAGES = {"en": "English", "xx": "Xish"}
CURRENCIES = {"XXD": "Xish Dollar", "EUR": "Euro", "XXF": "Xish Fund"}
PAID = {"XX": {"XXD", "EUR"}, "YY": {"EUR"}, "ZZ": set()}
PLAIN = {
    "name": "Xland",
    "ISO": {"alpha2": "XX", "numeric": "001"},
    "capital": "Xtown",
    "subregion": "Northern Sea",
    "currencies": ["XXD"],
    "languages": ["xx"],
    "demonym": "Xish",
    "tld": [".xx", "кс."],
}


def told(*rows):
    return {
        subject.name: {fact.relation: fact.objects for fact in subject.facts}
        for subject in countries(rows, LANGUAGES, CURRENCIES, PAID)
    }


def test_a_country_has_its_facts(caplog):
    (facts,) = told(PLAIN).values()
    assert facts == {
        "capital": ("Xtown",),
        "region": ("Northern Sea",),
        "currency": ("Xish Dollar",),
        "language": ("Xish",),
        "demonym": ("Xish",),
        "internet domain": (".xx",),
    }
    assert caplog.records == []


@pytest.mark.parametrize(
    ("column", "value", "relation", "objects"),
    [
        ("capital", "Xtown / Ytown", "capital", ("Xtown", "Ytown")),
        ("capital", ["Xtown", "Ytown"], "capital", ("Xtown", "Ytown")),
        ("capital", None, "capital", None),
        ("capital", "\u200fXtown\u200e", "capital", ("Xtown",)),
        ("demonym", "Xish,Yish", "demonym", ("Xish", "Yish")),
        ("demonym", "", "demonym", None),
        ("currencies", ["XXD", "XXF", "OLD"], "currency", ("Xish Dollar",)),
        ("currencies", None, "currency", None),
        ("languages", ["en", "??", "xx", "xx"], "language", ("English", "Xish")),
        ("subregion", "South-Eastern Sea", "region", ("South-eastern Sea",)),
        ("tld", ["кс."], "internet domain", None),
        ("tld", [], "internet domain", None),
    ],
)
def test_cells_are_read_in_whatever_form_they_are(column, value, relation, objects):
    (facts,) = told(PLAIN | {column: value}).values()
    assert facts.get(relation) == objects


def test_what_is_no_country_or_one_twice_is_left_out_and_told(caplog):
    poor = {"name": "Xland, State of", "ISO": PLAIN["ISO"], "capital": "Elsewhere"}
    unknown = PLAIN | {"name": "Gone", "ISO": {"alpha2": "GG", "numeric": "002"}}
    part = PLAIN | {"name": "Part", "ISO": {"alpha2": "YY"}}
    bare = {"name": "Ice", "ISO": {"alpha2": "ZZ", "numeric": "003"}, "capital": None}
    for rows in ([PLAIN, poor], [poor, PLAIN]):
        assert set(told(*rows, unknown, part, bare)) == {"Xland"}
    assert "Gone, Part, Ice" in caplog.records[0].getMessage()


def test_a_name_in_the_order_of_an_index_is_put_right_where_that_is_a_known_spelling():
    assert country_name("Virgin Islands, British", ["VG", "British Virgin Islands"]) == "British Virgin Islands"
    assert country_name("Bonaire, Saba", ["BQ"]) == "Bonaire, Saba"
