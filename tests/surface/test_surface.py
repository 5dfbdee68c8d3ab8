"""The public surface is what is written down in names.txt and flags.txt; see freeze.py."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("freeze", HERE / "freeze.py")
freeze = importlib.util.module_from_spec(spec)
spec.loader.exec_module(freeze)


@pytest.mark.parametrize("kind", ["names", "flags"])
def test_the_public_surface_is_what_is_written_down(kind):
    written = (HERE / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    found = getattr(freeze, kind)()
    gone, new = sorted(set(written) - set(found)), sorted(set(found) - set(written))
    assert (gone, new) == ([], []), "if this is meant: python tests/surface/freeze.py, and a line in CHANGELOG.md"
    assert len(found) == len(set(found)) == len(written)


def test_every_room_that_says_what_may_be_imported_is_written_down():
    rooms = {
        "closedbook." + ".".join(path.parent.relative_to(freeze.CHECKOUT).parts)
        for room in ("data", "evaluation", "training")
        for path in (freeze.CHECKOUT / room).rglob("__init__.py")
        if "lazy_loader" in path.read_text(encoding="utf-8")
    }
    assert rooms == set(freeze.ROOMS) - {"closedbook", "closedbook.modeling"}
