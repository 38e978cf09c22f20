"""What builds reach."""

from typing import Protocol


class LentNetwork(Protocol):
    @property
    def mode(self) -> str:
        """What Docker calls the network mode of a container."""

    def give_back(self) -> None:
        """Once the container that was given it is gone: nothing of a build is left in a network without processes."""


class BuildNetworks(Protocol):
    """Networks that containers of builds are put into, each for one build at a time, so that no build reaches another."""

    def lend(self, image: str) -> LentNetwork:
        """One from which a build reaches what ``build.egress`` lets it. Where one has to be made first, that is done in a container of
        ``image``, which Docker has, and which has Python.

        Raises UnavailableError where Docker does not answer; ConfigError where its host cannot keep builds off what they may not reach.
        """

    def close(self) -> None:
        """Let go of those that nobody has."""


class NoNetworks:
    """Builds that are given none reach nothing."""

    mode = "none"

    def lend(self, image: str) -> LentNetwork:  # noqa: ARG002 - nothing is made
        return self

    def give_back(self) -> None:
        """There is none."""

    def close(self) -> None:
        """There is none."""
