"""The leaderboard shows each recorded run, and leaves blank what was not measured."""

import json

from closedbook.evaluation.reports.generated.leaderboard import leaderboard_block


def record(**measured):
    commits = {"ours": "1" * 40, "former": "2" * 40}
    return {"date": "2026-11-02", "commit": "1" * 40, "idea": "less", "settings": {"commits": commits}} | measured


def test_a_row_for_each_run_by_date_with_blanks_for_what_was_not_measured(tmp_path):
    later = record(characters_per_cpu_second_ratio=1.2345, characters_per_cpu_second_ratio_starter=5.0)
    earlier = record(date="2026-11-01", cpu_seconds_to_23={"ours": 1234.5, "former": 4000.0}, cpu_ratio_23=3.2)
    for name, content in (("", later), ("-first", earlier)):
        (tmp_path / f"benchmark-time-to-knowledge{name}.json").write_text(json.dumps(content), "utf-8")
    _, _, first, second = leaderboard_block(tmp_path).splitlines()
    assert first.split("|")[1:-1] == [
        *(" 2026-11-01 ", " 1111111 ", " less ", "  ", " ours 1,234, former 4,000 ", "  "),
        " `results/benchmark-time-to-knowledge-first.json` ",
    ]
    assert "| 1.23 (2222222), 5.00 (starter's loop) |  |  |" in second


def test_where_no_run_is_recorded_it_is_said(tmp_path):
    assert leaderboard_block(tmp_path) == "*No run has been recorded yet.*\n"
