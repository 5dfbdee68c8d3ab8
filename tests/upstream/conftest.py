"""transformers' own common tests: where they are found, and the account of what ran."""

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # the processes that the tensor-parallel tests start inherit it
sys.path.append(str(Path(__file__).parent.parent / "modeling"))  # for the table of variants

from skips import explain
from variants import VARIANTS

HERE = Path(__file__).parent
os.environ.setdefault("RUN_SLOW", "yes")  # the library's slow tests too: with models this small they are not
collect_ignore = ["transformers_tests"]

MARKERS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "is_tensor_parallel_test",
    "is_training_test",
    "torch_compile_test",
)

# What `make test` runs: the tests that a change of an architecture or of the tokenizer breaks first.
FAST = (
    "test_attention_outputs",
    "test_batching_equivalence",
    "test_call",
    "test_can_init_all_missing_weights",
    "test_config",
    "test_encode_basic_padding",
    "test_eager_matches_sdpa_inference_09_fp32_pad_left",
    "test_hidden_states_output",
    "test_inputs_embeds_matches_input_ids",
    "test_load_save_without_tied_weights",
    "test_offsets_mapping",
    "test_resize_tokens_embeddings",
    "test_save_and_load_tokenizer",
    "test_save_load",
    "test_training",
    "test_training_gradient_checkpointing",
)


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: a kind of test in transformers' own suite")


def pytest_collection_modifyitems(items):
    """Of the variants, the fast suite takes those that it runs everywhere."""
    elsewhere = {variant.name for variant in VARIANTS if not variant.everywhere}
    for item in items:
        if HERE in item.path.parents and (item.name not in FAST or item.parent.name in elsewhere):
            item.add_marker(pytest.mark.slow)


class Account:
    """What became of each test of this folder, subtests included."""

    def __init__(self, reports):
        self.outcomes = defaultdict(dict)
        self.reasons = defaultdict(set)
        self.unexplained = set()
        variants = {variant.name: variant for variant in VARIANTS}
        for outcome in ("passed", "skipped", "failed", "error"):  # the worst one of a test with subtests counts
            for report in reports.get(outcome, []):
                path, *names = getattr(report, "nodeid", "").split("::")
                if "tests/upstream/" not in path or len(names) != 2:
                    continue
                group, test = names
                self.outcomes[group][test] = outcome
                if outcome == "skipped":
                    reason = report.longrepr[2].removeprefix("Skipped: ")
                    because = explain(test, reason, variants.get(group))
                    self.reasons[because or f"NOT JUDGED: {test}: {reason}"].add((group, test))
                    if because is None:
                        self.unexplained.add((group, test))

    def lines(self):
        """One line a variant, then each reason for a skip with the number of tests."""
        total = Counter()
        width = max(map(len, self.outcomes))
        for group, outcomes in [*self.outcomes.items(), ("all", None)]:
            count = total if outcomes is None else Counter(outcomes.values())
            failed = count["failed"] + count["error"]
            yield f"{group:{width}}  {count['passed']:5} passed {failed:4} failed {count['skipped']:5} skipped"
            total = total + count
        if self.reasons:
            yield ""
            yield "skipped:"
        for because, tests in sorted(self.reasons.items(), key=lambda item: (-len(item[1]), item[0])):
            yield f"{len(tests):5}  {because}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """A skip that nobody has judged fails the run, as a failed test would."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and session.exitstatus == pytest.ExitCode.OK and Account(reporter.stats).unexplained:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    account = Account(terminalreporter.stats)
    if not account.outcomes:
        return
    terminalreporter.section("transformers' own tests")
    for line in account.lines():
        terminalreporter.line(line)
    if account.unexplained:
        terminalreporter.line("A skip is not judged: make the test pass, or explain it in skips.py.")
