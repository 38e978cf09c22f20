"""An app that is pushed to again and again, and what became of each push, seen past the proxies."""

import enum
import json
import os
import random
import secrets
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from tests.e2e.world import SAMPLES, Clone, Developer, run

_ANSWER_SECONDS = 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Pushed(enum.StrEnum):
    LIVE = "live"
    REFUSED = "refused"  # and what was live before still is
    FALSELY = "FALSELY accepted"
    SECRETLY = "refused, and yet live"


@dataclass(frozen=True)
class Outcome:
    app: str
    version: str
    how: Pushed
    seconds: float
    built: bool
    reason: str = ""


class App:
    """``number`` 1 is built from its Dockerfile, all others by buildpacks. Each has random changes of its own, drawn with ``seed``."""

    def __init__(self, developer: Developer, target: str, number: int, seed: int) -> None:
        self.name = f"faults-{secrets.token_hex(2)}-{number}"
        self._target = target
        self._random = random.Random(f"{seed} {number}")  # noqa: S311 - to be told again, not to be secret
        self._version = 0
        self._live = ""
        self._url = ""
        self._developer = developer
        self._clone = self._begin(by_docker=number == 1)

    def push(self) -> Outcome:
        """One change more, and what became of it."""
        self._version += 1
        version = f"{self._version}"
        clone = self._clone
        clone.replace("serve.py", f'VERSION = "{self._version - 1}"', f'VERSION = "{version}"')
        if self._random.random() < 0.3:
            clone.commit("Ask for a build", {"requirements.txt": f"# {version}\n"})
        said = clone.push()
        built = "No build needed" not in said.all
        if said.code == 0:
            how, reason = self._look(version, said.all)
        else:
            how, reason = self._look_after_failure(version, _reason(said.all))
        if how is Pushed.LIVE:
            self._live = version
        return Outcome(self.name, version, how, said.seconds, built, reason)

    def _begin(self, *, by_docker: bool) -> Clone:
        clone = Clone(self._developer, self.name, self._developer.server.folder / f"clone-{self.name}")
        self._developer.ssh("apps", "create", self.name).ok()
        clone.folder.mkdir()
        shutil.copy(SAMPLES / "dockerfile" / "serve.py", clone.folder)
        clone.git("init", "--quiet", "--initial-branch", "main").ok()
        clone.git("remote", "add", "deploy", clone.url).ok()
        files = {"requirements.txt": "# 0\n", "Procfile": "web: python3 serve.py\n"}
        if by_docker:
            files = {
                "Dockerfile": (SAMPLES / "dockerfile" / "Dockerfile").read_text(),
                "requirements.txt": "# 0\n",
            }
        clone.commit("Begin", files)
        clone.replace("serve.py", 'VERSION = "1"', 'VERSION = "0"')
        return clone

    def _look(self, version: str, said: str) -> tuple[Pushed, str]:
        self._url = next((w for w in reversed(said.split()) if w.startswith("http://")), self._url)
        answered = self._answer(version)
        if not answered.endswith(f"version {version}"):
            return Pushed.FALSELY, f"it answers {answered!r}"
        running, released = self._running(), self._released()
        if running != released:
            return Pushed.FALSELY, f"{running} runs, and {released} was released"
        return Pushed.LIVE, ""

    def _look_after_failure(self, version: str, reason: str) -> tuple[Pushed, str]:
        if self._url and self._answer(self._live).endswith(f"version {version}"):
            return Pushed.SECRETLY, reason
        return Pushed.REFUSED, reason

    def _answer(self, version: str) -> str:
        """What the app says; asked again for a while where it does not say that version."""
        end, said = time.monotonic() + _ANSWER_SECONDS, ""
        while time.monotonic() < end:
            try:
                with _DIRECT.open(self._url, timeout=5) as answer:
                    said = answer.read().decode().strip()
            except (urllib.error.URLError, OSError) as error:
                said = repr(error)
            if said.endswith(f"version {version}"):
                break
            time.sleep(0.2)
        return said

    def _released(self) -> str:
        """The digest that the ledger has as live; it asks neither Docker nor the cluster."""
        releases = self._developer.ssh("releases", "list", "--app", self.name, "--json").ok().json()
        live = next(release for release in releases if release.get("live"))
        return str(live["image"]).rpartition("@")[2]

    def _running(self) -> str:
        """The digest of what runs, asked of the engine or the cluster themselves."""
        if self._target == "kubernetes":
            prefix = self._developer.server.env["GITRECEIVE_KUBERNETES_NAMESPACE_PREFIX"]
            got = run(
                ["kubectl", "get", "deployment", "web", "-n", f"{prefix}{self.name}", "-o", "json"],
                env=os.environ,
            )
            image = json.loads(got.ok().out)["spec"]["template"]["spec"]["containers"][0]["image"]
            return str(image).rpartition("@")[2]
        wanted = ["--filter", f"label=gitreceive.app={self.name}", "--format", "{{.Names}} {{.Image}}"]
        lines = run(["docker", "ps", "--no-trunc", *wanted], env=os.environ).ok().out.splitlines()
        serving = [line.split()[1] for line in lines if line.split()[0].endswith(".web.1")]
        return serving[-1].rpartition("@")[2] if serving else "nothing"


def _reason(said: str) -> str:
    lines = [line.removeprefix("remote:").strip() for line in said.splitlines()]
    errors = [line for line in lines if "!" in line[:4] or "rejected" in line]
    return " | ".join(errors[-3:] or lines[-2:])[:400]
