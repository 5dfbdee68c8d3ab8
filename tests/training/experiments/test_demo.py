"""A demo that is stopped says how it goes on."""

import pytest

from closedbook.training.checks.commands import Stopped
from closedbook.training.experiments import demo


def test_a_demo_that_is_stopped_names_no_flag_that_it_does_not_have(monkeypatch, tmp_path):
    def stop(args):
        raise Stopped("stopped by SIGTERM after step 1 of 2; saved x/checkpoint-1, go on with --resume", 143)

    monkeypatch.setattr(demo, "show_everything", stop)
    with pytest.raises(Stopped, match="^stopped by SIGTERM after step 1 of 2; the demo begins anew") as stopped:
        demo.main(["--output_dir", str(tmp_path)])
    assert stopped.value.status == 143
