import pytest

from gitreceive.model import Digest, ImageRef
from tests.engines.stage import Stage
from tests.engines.target_record import TargetRecord
from tests.fakes import FakeTarget


class TestFakeTarget(TargetRecord):
    @pytest.fixture
    def stage(self) -> Stage:
        return Stage(FakeTarget(), ImageRef("registry.test/app", Digest("sha256:" + "a" * 64)))
