"""A server's data folder with a stack, a registry in this process, and what a runner works with."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitreceive.cancellation import Cancellation
from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import AppName, Declared, Image, Job, ProcessType, Push, Secret
from tests.cli.people import pushed
from tests.engines.oci_images import Notes, build, layer, tar
from tests.engines.scripted_registry import ScriptedRegistry
from tests.fakes import FakeTarget

_FIT: dict[str, bytes | str] = {
    "usr/bin/python3": "python3.11",
    "usr/bin/python3.11": b"ELF",
    "bin/bash": b"ELF",
}


def _status(version: str) -> bytes:
    return f"Package: libssl3\nStatus: install ok installed\nVersion: {version}\n".encode()


class PatientLedger:
    """A place's ledger for its runner, which claims nothing while the place itself is about to."""

    def __init__(self, place: "Place") -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place.ledger, name)

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        with self._place.claiming:
            return self._place.ledger.claim(holder, lease_seconds)


class Place:
    """A server's data folder with two versions of a stack, and what its runner works with."""

    def __init__(
        self, server: ScriptedRegistry, ledger: SqlLedger, logbook: FileLogBook, folder: Path
    ) -> None:
        self.registry = OciRegistry(server.address, insecure=True, environment={}, login=lambda _host: None)
        self.server, self.ledger, self.logbook, self.folder = server, ledger, logbook, folder
        self.target = FakeTarget()
        self.claiming = threading.Lock()
        self.offer("3.0.11")
        self.address = f"{server.address}/corp"

    def offer(self, version: str) -> None:
        """What the tag of the base image names from now on."""
        made = layer(self.folder, "base", tar({**_FIT, "var/lib/dpkg/status": _status(version)}))
        image = self.registry.publish(build(made), "corp", Notes(), Cancellation())
        self.server.manifests["corp"]["current"] = self.server.manifests["corp"][image.digest]

    def live(
        self,
        app: str,
        *,
        buildpacks: tuple[str, ...] = ("x/a@1",),
        processes: tuple[str, ...] = ("web",),
        config: Mapping[str, Secret] | None = None,
        holding: str = "",
        declared: Declared | None = None,
    ) -> None:
        """A release that a push made. ``holding`` makes its image another."""
        stack = self.ledger.stack("bookworm")
        assert stack
        made = build(layer(self.folder, app + holding), run_image=stack.run, config={"Labels": {}})
        ref = self.registry.publish(made, app, Notes(), Cancellation())
        with self.claiming:
            job = pushed(self.ledger, app)
            held = self.ledger.claim("tests", 60)
        assert held
        image = Image(
            ref, tuple(ProcessType(name, (name, "--port 1")) for name in processes), None, buildpacks, 12_345
        )
        assert isinstance(held.cause, Push)
        commit = held.cause.new
        self.ledger.intend_release(job.id, held.fence, image, commit, "Deploy", config, declared=declared)
        self.ledger.go_live(job.id, held.fence, {})

    def versions(self, app: str) -> list[str]:
        return [release.description for release in self.ledger.releases(AppName(app))]
