"""What a Target remembers of roll-outs: the part of the contract that the fake keeps too."""

from typing import Any

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError
from gitreceive.model import OneOff, UserName


class TargetRecord:
    """Needs a fixture ``stage`` as in ``target_contract``."""

    def test_it_has_on_record_which_release_runs(self, stage: Any) -> None:
        assert stage.target.running(stage.app) is None
        assert stage.target.processes(stage.app) == ()
        assert stage.target.url(stage.app) is None
        stage.roll_out(stage.release(1))
        stage.roll_out(stage.release(1))
        assert stage.target.running(stage.app) == 1
        assert {(p.process, p.release, p.state) for p in stage.target.processes(stage.app)} == {
            ("web", 1, "up")
        }
        assert stage.target.url(stage.app).startswith("http://")

    def test_what_is_put_back_is_on_record_again(self, stage: Any) -> None:
        first, second = stage.release(1), stage.release(2)
        stage.roll_out(first)
        stage.roll_out(second)
        stage.target.put_back(second, first, stage.log)
        assert stage.target.running(stage.app) == 1
        stage.target.put_back(first, None, stage.log)
        assert stage.target.running(stage.app) is None

    def test_runs_by_the_clock_are_apart_from_what_people_run(self, stage: Any) -> None:
        assert stage.target.cron_runs(stage.app) == ()
        if stage.target.has_clock:
            pytest.skip("nobody else starts them")
        asked = OneOff(
            "clean-29543760",
            ("python3", "-c", "pass"),
            "clean",
            UserName("ada"),
            60,
            kept=False,
            entry="clean",
        )
        stage.target.detach(stage.release(1), asked, stage.log, Cancellation())
        (run,) = stage.target.cron_runs(stage.app)
        assert (run.entry, run.name, run.release) == ("clean", asked.name, 1)
        assert stage.target.one_offs(stage.app) == ()
        assert stage.target.remove_one_off(stage.app, asked.name)
        assert stage.target.cron_runs(stage.app) == ()

    def test_a_canceled_roll_out_is_not_begun(self, stage: Any) -> None:
        cancel = Cancellation()
        cancel.request("canceled by ada")
        with pytest.raises(CanceledError, match="canceled by ada"):
            stage.target.roll_out(stage.release(1), stage.log, cancel)
        stage.target.put_back(stage.release(1), None, stage.log)
        assert stage.target.running(stage.app) is None
