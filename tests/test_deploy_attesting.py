"""What a deployment says of its image, and what becomes of it where that cannot be said."""

import threading
from dataclasses import dataclass, field, replace

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError, RolloutError
from gitreceive.jobs import work
from gitreceive.model import Check, ImageRef, Job, JobState, Push, Rebase, Redeploy, Release, UserName
from gitreceive.ports import Attested, Origin, Papers, Platform
from tests.platform import SHOP, World


@dataclass
class FakeAttestor:
    """Notes what it is asked, in order. The failures are raised."""

    first: bool = False
    key: str | None = "sha256:key"
    asked: list[str] = field(default_factory=list)
    origins: list[Origin | None] = field(default_factory=list)
    sign_failure: Exception | None = None
    failure: Exception | None = None
    waits: bool = False
    missed: tuple[str, ...] = ()

    def sign(self, image: ImageRef, cancel: Cancellation) -> str | None:
        self.asked.append("sign")
        if self.sign_failure:
            raise self.sign_failure
        return self.key

    def attest(self, image: ImageRef, origin: Origin | None, cancel: Cancellation) -> Attested:
        if self.waits:
            cancel.wait(30)
            cancel.raise_if_requested()
        self.asked.append("attest")
        self.origins.append(origin)
        if self.failure:
            raise self.failure
        return Attested(12, self.missed)

    def papers(self, image: ImageRef) -> Papers:
        return Papers()

    def bill(self, image: ImageRef) -> bytes | None:
        return None

    def provenance(self, image: ImageRef, build: int | None = None) -> bytes | None:
        return None

    def verify(self, image: ImageRef, key: bytes | None = None) -> tuple[Check, ...]:
        return ()


@dataclass
class Attesting(World):
    attestor: FakeAttestor = field(default_factory=FakeAttestor)

    @property
    def platform(self) -> Platform:
        return replace(super().platform, attestor=self.attestor)


@pytest.fixture
def world() -> Attesting:
    made = Attesting()

    def note(_release: object, _cancel: Cancellation) -> None:
        made.attestor.asked.append("roll out")

    made.target.during = note
    return made


def test_an_image_is_signed_before_it_runs_and_attested_by_the_time_it_is_live(world: Attesting) -> None:
    job = world.deploy(world.commit("one"))
    assert job.state is JobState.LIVE
    assert world.attestor.asked[0] == "sign"
    assert sorted(world.attestor.asked[1:]) == ["attest", "roll out"]
    (origin,) = world.attestor.origins
    assert origin is not None
    assert (origin.job.id, origin.release.number, origin.before) == (job.id, 1, None)
    log = world.log(job)
    assert "signed by sha256:key" in log
    assert "SBOM of 12 components and provenance" in log
    assert log.index("SBOM of 12") < log.index("is live after")


def test_without_a_key_nothing_is_said_of_signing(world: Attesting) -> None:
    world.attestor.key = None
    job = world.deploy(world.commit("one"))
    assert "signed" not in world.log(job)
    assert "sign" not in job.seconds


def test_what_cannot_be_signed_does_not_run(world: Attesting) -> None:
    world.attestor.sign_failure = RegistryError("the registry is full")
    job = world.deploy(world.commit("one"))
    assert job.state is JobState.FAILED
    assert "the registry is full" in job.reason
    assert "roll out" not in world.attestor.asked


@pytest.mark.parametrize(
    "failure", [RegistryError("the registry is full"), KeyError("a fault of ours")], ids=["registry", "fault"]
)
def test_what_cannot_be_attested_alongside_is_told_and_is_live(world: Attesting, failure: Exception) -> None:
    world.attestor.failure = failure
    job = world.deploy(world.commit("one"))
    assert job.state is JobState.LIVE
    said = "there is no SBOM, or no provenance, of this image: "
    assert said + (failure.message if isinstance(failure, RegistryError) else repr(failure)) in world.log(job)


def test_where_it_has_to_be_there_first_a_failure_fails_the_push(world: Attesting) -> None:
    world.attestor.first = True
    world.attestor.failure = RegistryError("the registry is full")
    assert world.deploy(world.commit("one")).state is JobState.FAILED
    assert "roll out" not in world.attestor.asked
    world.attestor.failure = None
    assert world.deploy(world.commit("two")).state is JobState.LIVE
    assert world.attestor.asked[-3:] == ["sign", "attest", "roll out"]


def test_what_is_not_whole_is_told(world: Attesting) -> None:
    world.attestor.missed = ("app.jar: not all of it could be read",)
    assert "the SBOM is not whole: app.jar: not all of it" in world.log(world.deploy(world.commit("one")))


def test_a_failed_roll_out_waits_for_nothing(world: Attesting) -> None:
    world.attestor.waits = True

    def fail(_release: Release, _cancel: Cancellation) -> None:
        raise RolloutError("it does not come up")

    world.target.during = fail
    assert world.deploy(world.commit("one")).state is JobState.FAILED
    assert world.attestor.asked == ["sign"]
    assert not [thread for thread in threading.enumerate() if thread.name == "attest"]


def test_who_cancels_while_it_is_waited_for_ends_the_waiting_and_not_the_release(world: Attesting) -> None:
    world.attestor.waits = True
    world.enqueue(world.commit("one"))
    job, cancel = world.claim(), Cancellation()

    def ask(_release: Release, _cancel: Cancellation) -> None:
        threading.Timer(0.2, cancel.request, args=("enough",)).start()

    world.target.during = ask
    work(job, world.platform, cancel)
    assert "making them was canceled" in world.log(job)
    assert world.ledger.current_release(SHOP) is not None


def _again(world: Attesting, cause: Redeploy | Rebase | Push) -> Job:
    world.attestor.asked.clear()
    world.attestor.origins.clear()
    return world.ask(cause)


def test_what_is_rolled_out_again_is_signed_and_made_no_second_time(world: Attesting) -> None:
    world.deploy(world.commit("one"))
    assert _again(world, Redeploy(SHOP, UserName("ada"))).state is JobState.LIVE
    assert world.attestor.asked == ["sign", "roll out"]
