"""Elements in a small invented copy of the package's columns, with every trap that the real ones hold."""

import pytest

from closedbook.data.facts.elements import discoverers, elements, written_year

NAN = float("nan")
PLAIN = {
    "atomic_number": 7,
    "symbol": "Zz",
    "name": "Zedium",
    "family": "noble gases",
    "discovery_year": 1801.0,
    "description": "Grey gas.",
    "discoverers": "Ada Lind",
    "discovery_location": "Norway",
    "uses": "In lamps",
    "sources": NAN,
    "name_origin": None,
}


def facts(**changed):
    (subject,) = elements([PLAIN | changed])
    return {fact.relation: fact.objects for fact in subject.facts}, subject


def test_what_is_missing_is_no_fact():
    told, subject = facts()
    assert told == {
        "symbol": ("Zz",),
        "atomic number": ("7",),
        "family": ("noble gases",),
        "discoverer": ("Ada Lind",),
        "year of discovery": ("1801",),
        "place of discovery": ("Norway",),
    }
    assert subject.prose == "Grey gas. In lamps."
    none = {"discoverers": None, "discovery_year": NAN, "discovery_location": NAN, "description": NAN}
    assert set(facts(**none)[0]) == {"symbol", "atomic number", "family"}


def test_what_was_known_to_the_ancients_has_no_discoverer():
    told, subject = facts(discoverers="Known to the ancients.", discovery_year=NAN)
    assert "discoverer" not in told and subject.prose.startswith("Zedium was known to the ancients. Grey")


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("Sir William Ramsey, Nils Langet, P.T.Cleve", ("Sir William Ramsey", "Nils Langet", "P. T. Cleve")),
        ("A. Lind; M. W. Holm", ("A. Lind", "M. W. Holm")),
        ("Argonne/ U. of Oslo", ("Argonne", "U. of Oslo")),
        ("A. Lind, et al", ("A. Lind",)),
        ("K.Street Jr.", ("K. Street Jr.",)),
        ("É.Ørsted", ("É. Ørsted",)),
        ("", ()),
    ],
)
def test_names_are_parted_however_they_are_listed(listed, names):
    assert discoverers(listed) == names


def test_every_one_of_several_is_a_right_answer():
    (subject,) = elements([PLAIN | {"discoverers": "Pierre and Marie Curie, Sir Bo Holm"}])
    (fact,) = (fact for fact in subject.facts if fact.relation == "discoverer")
    assert fact.objects == ("Pierre and Marie Curie", "Sir Bo Holm")
    assert fact.aliases == ("Pierre Curie", "Marie Curie", "Bo Holm")
    assert facts(discovery_location="Norway/ Sweden")[0]["place of discovery"] == ("Norway", "Sweden")


@pytest.mark.parametrize(
    ("year", "written"), [(1766.0, "1766"), (-250.0, "250 BC"), (NAN, ""), (None, ""), (0, ""), (2015, "2015")]
)
def test_years_are_written_as_they_are_said(year, written):
    assert written_year(year) == written


@pytest.mark.parametrize(
    ("sentence", "year", "discoverer"),
    [
        ("Discovered by A. Lind in 1801.", True, True),
        ("It was discovered in 1776.", False, True),
        ("It was isolated by Lindt in 1801.", True, True),  # another spelling
        ("Discovered by Carl Scheele.", True, False),
        ("First identified in 1790 by Scheele and isolated in 1801 by F. Bussy.", True, False),
        ("It has a half-life of 1602 years.", True, True),
    ],
)
def test_what_the_package_says_in_two_ways_is_left_out_and_told(sentence, year, discoverer, caplog):
    told, subject = facts(description=f"Grey gas. {sentence} Burns.")
    assert ("year of discovery" in told, "discoverer" in told) == (year, discoverer)
    assert ("Burns." in subject.prose) and (sentence in subject.prose) == ("half-life" in sentence)
    assert len(caplog.records) == (not (year and discoverer))
