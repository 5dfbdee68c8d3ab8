"""Every architecture becomes an ONNX graph that says the same, or is refused in one line."""

import pytest
from variants import VARIANTS

from closedbook.training.conversion import onnx_file

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

REFUSED = [one for one in VARIANTS if not one.name.startswith("vanilla") or "linformer" in one.name]


@pytest.mark.parametrize("architecture", REFUSED, ids=lambda one: one.name)
def test_a_model_without_a_cache_of_tokens_is_refused(architecture, tmp_path):
    with pytest.raises(ValueError, match="keeps no cache of every token at every layer") as refusal:
        onnx_file.write_graph(tmp_path / "model.onnx", architecture.model())
    assert "\n" not in str(refusal.value) and not list(tmp_path.iterdir())


@pytest.mark.slow  # torch takes seconds for each; three of their kinds are in tests/training/conversion
@pytest.mark.parametrize("architecture", [one for one in VARIANTS if one not in REFUSED], ids=lambda one: one.name)
def test_every_other_graph_says_what_its_model_says(architecture, tmp_path):
    assert onnx_file.write_graph(tmp_path / "model.onnx", architecture.model()) < 1e-4
