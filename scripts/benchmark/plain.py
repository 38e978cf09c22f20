"""The plain side: docker build with dependencies in their own layer, docker push, kubectl set image, rollout status."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.benchmark.figures import Sample
from scripts.benchmark.source import COMMAND, AppSource
from scripts.benchmark.watch import FirstAnswer
from tests.e2e.world import Said, run

# Python with pip on the stack's run image, as python:slim is; made before anything is timed.
_BASE = """\
FROM {build} AS made
USER root
RUN python3 -m venv /venv && chown -R 1000:1000 /venv
FROM {run}
COPY --from=made --chown=1000:1000 /venv /venv
COPY ca.pem /etc/ssl/certs/build-ca.pem
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
"""
_DOCKERFILE = """\
FROM {base}
{arguments}
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
CMD {command}
"""
_SPEC = ("replicas", "strategy", "minReadySeconds", "progressDeadlineSeconds")
_POD = (
    "terminationGracePeriodSeconds",
    "securityContext",
    "automountServiceAccountToken",
    "enableServiceLinks",
)
_CONTAINER = ("imagePullPolicy", "resources", "readinessProbe", "lifecycle", "ports", "securityContext")


class Plain:
    """Images under REGISTRY/bench/; a namespace for each app. ``build_env`` and ``ca`` are what gitreceive's builds get too."""

    def __init__(
        self, folder: Path, registry: str, stack: Mapping[str, str], build_env: Mapping[str, str], ca: str
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._build_env = dict(build_env)
        if ca:
            self._build_env.setdefault("PIP_CERT", "/etc/ssl/certs/build-ca.pem")
        self._images: list[str] = []
        self._namespaces: list[str] = []
        self._app = ""
        self._like: Mapping[str, Any] = {}
        self._url = ""
        self._base = self._make_base(stack, ca)

    def begin(self, app: str, like: Mapping[str, Any]) -> None:
        """A new app, not deployed yet, that is to run as the Deployment ``like`` does."""
        self._app, self._like, self._url = app, like, ""
        (self._folder / app).mkdir(parents=True)

    def deploy(self, source: AppSource) -> Sample:
        """Build, push, roll out, and wait for the first answer. The first time, nothing comes from a cache."""
        folder = self._folder / self._app
        for name, text in self._files(source).items():
            (folder / name).write_text(text)
        image = f"{self._registry}/bench/{self._app}:{source.version}"
        first = not self._url
        answer = FirstAnswer(source.answer)
        if not first:
            answer.ask(self._url)
        began = time.monotonic()
        flags = [word for name in self._build_env for word in ("--build-arg", name)]
        build = self._docker("build", *(["--no-cache"] if first else []), *flags, "--tag", image, str(folder))
        push = self._docker("push", image)
        self._images.append(image)
        rolling = time.monotonic()
        if first:
            self._url = self._create(image)
            answer.ask(self._url)
        else:
            self._kubectl("set", "image", "deployment/web", f"web={image}").ok()
        self._kubectl("rollout", "status", "deployment/web", "--timeout=120s").ok()
        rolled = time.monotonic()
        answered = answer.wait()
        phases = {
            "build": build.seconds,
            "push": push.seconds,
            "roll out": rolled - rolling,
            "answer": max(0.0, answered - rolled),
        }
        return Sample(answered - began, {name: round(seconds, 3) for name, seconds in phases.items()})

    @property
    def namespace(self) -> str:
        """Of the app that was begun last."""
        return f"plain-{self._app}"

    def remove(self) -> None:
        """Everything that was made but what is in the registry."""
        for name in self._namespaces:
            run(["kubectl", "delete", "namespace", name, "--wait=false"])
        for image in [*reversed(self._images)]:
            run(["docker", "image", "rm", image])

    def _files(self, source: AppSource) -> dict[str, str]:
        dockerfile = _DOCKERFILE.format(
            base=self._base,
            arguments="\n".join(f"ARG {name}" for name in self._build_env),
            command=json.dumps(COMMAND),
        )
        return {**source.files(), "Dockerfile": dockerfile, ".dockerignore": ".git\nDockerfile\n"}

    def _make_base(self, stack: Mapping[str, str], ca: str) -> str:
        folder = self._folder / "base"
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(_BASE.format(build=stack["build"], run=stack["run"]))
        if ca:
            shutil.copy(ca, folder / "ca.pem")
        else:
            (folder / "ca.pem").touch()
        image = f"{self._registry}/bench/python:latest"
        self._docker("build", "--tag", image, str(folder))
        self._docker("push", image)
        self._images.append(image)
        return image

    def _create(self, image: str) -> str:
        self._namespaces.append(self.namespace)
        items = manifests(self.namespace, image, self._like)
        made = run(["kubectl", "apply", "-f", "-", "-o", "json"], stdin=json.dumps(items)).ok().json()
        service = next(item for item in made["items"] if item["kind"] == "Service")
        return f"http://127.0.0.1:{service['spec']['ports'][0]['nodePort']}/"

    def _docker(self, *words: str) -> Said:
        return run(["docker", *words], env={**os.environ, **self._build_env}).ok()

    def _kubectl(self, *words: str) -> Said:
        return run(["kubectl", "--namespace", self.namespace, *words])


def manifests(namespace: str, image: str, like: Mapping[str, Any]) -> dict[str, Any]:
    """Namespace, Deployment and NodePort Service as a List; the Deployment with the probe, resources and strategy of ``like``."""
    spec = like["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    port = container["ports"][0]["containerPort"]
    labels = {"app": "web"}
    metadata = {"name": "web", "namespace": namespace}
    own = {
        **{name: container[name] for name in _CONTAINER if name in container},
        "name": "web",
        "image": image,
        "env": [{"name": "PORT", "value": str(port)}],
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {**{name: pod[name] for name in _POD if name in pod}, "containers": [own]},
    }
    deployment = {
        **{name: spec[name] for name in _SPEC if name in spec},
        "selector": {"matchLabels": labels},
        "template": template,
    }
    ports = [{"name": "http", "port": 80, "targetPort": port, "protocol": "TCP"}]
    service = {"type": "NodePort", "selector": labels, "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        ],
    }
