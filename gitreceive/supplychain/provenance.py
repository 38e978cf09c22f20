"""Where an image comes from: an in-toto Statement v1 with SLSA's provenance v1 (slsa.dev/spec/v1.0/provenance). Pure: the ledger's facts in,
a document out. It holds no value of config and no secret.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import gitreceive
from gitreceive.model import BUILDPACKS_LABEL, AppName, CommitId, ImageFacts, ImageRef, Push, Rebase
from gitreceive.ports import Origin

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BILL = "https://cyclonedx.org/bom"
BUILD_TYPE = "urn:gitreceive:build-type:"  # and ``push/v1`` or ``rebase/v1``: docs/supply-chain.md


def statement(image: ImageRef, facts: ImageFacts, origin: Origin, builder: str) -> bytes:
    """``builder`` is a URI that names this server. The same input gives the same bytes."""
    job = origin.job
    predicate = {
        "buildDefinition": {
            "buildType": f"{BUILD_TYPE}{job.cause.kind}/v1",
            "externalParameters": _asked(origin),
            "internalParameters": _chosen(image, origin),
            "resolvedDependencies": list(_dependencies(facts, origin, builder)),
        },
        "runDetails": {
            "builder": {"id": builder, "version": {"gitreceive": gitreceive.__version__}},
            "metadata": {
                "invocationId": f"{job.app}/builds/{job.id}",
                "startedOn": _time(job.started_at or job.created_at),
                "finishedOn": _time(origin.release.created_at),
            },
        },
    }
    return about(image, PROVENANCE, predicate)


def about(image: ImageRef, kind: str, predicate: object) -> bytes:
    """A statement of the kind about the image."""
    document = {
        "_type": STATEMENT,
        "subject": [{"name": image.repository, "digest": {"sha256": image.digest.removeprefix("sha256:")}}],
        "predicateType": kind,
        "predicate": predicate,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def is_about(content: bytes, image: ImageRef, kind: str) -> bool:
    """Whether it is a statement of the kind about the image."""
    try:
        document = json.loads(content)
        digests = [subject["digest"]["sha256"] for subject in document["subject"]]
        return (
            document["_type"] == STATEMENT
            and document["predicateType"] == kind
            and image.digest.removeprefix("sha256:") in digests
        )
    except (ValueError, KeyError, TypeError):
        return False


def invocation(content: bytes) -> str:
    """Which build a statement says it is of."""
    try:
        return str(json.loads(content)["predicate"]["runDetails"]["metadata"]["invocationId"])
    except (ValueError, KeyError, TypeError):
        return "of no build"


def _asked(origin: Origin) -> dict[str, object]:
    cause = origin.job.cause
    asked: dict[str, object] = {"app": cause.app, "commit": origin.release.commit}
    if isinstance(cause, Push):
        asked |= {"ref": cause.ref, "repository": cause.repository, "pushOptions": _options(cause)}
    elif isinstance(cause, Rebase):
        asked |= {"stack": cause.stack, "version": cause.version, "force": cause.force}
    return asked


def _options(push: Push) -> dict[str, object]:
    options = push.options
    given = {"nocache": options.nocache, "buildpack": _plain(options.buildpack), "review": options.review}
    return {name: value for name, value in given.items() if value}


def _plain(address: str | None) -> str | None:
    """Without its query, which may hold what lets somebody in."""
    return address.partition("?")[0] if address else None


def _chosen(image: ImageRef, origin: Origin) -> dict[str, object]:
    made_by = list(origin.release.image.buildpacks)
    stack = {"stack": origin.stack.label} if origin.stack else {}
    return {"repository": image.repository, "buildpacks": made_by, **stack}


def _dependencies(facts: ImageFacts, origin: Origin, builder: str) -> Iterator[dict[str, object]]:
    """What went in, each by its digest (SLSA, "ResourceDescriptor")."""
    cause = origin.job.cause
    if isinstance(cause, Push):
        yield _commit(builder, cause.repository, cause.ref, cause.new)
    if origin.before:
        yield _image("before", origin.before)
    if facts.run_image:
        yield _image("run-image", facts.run_image)
    if origin.stack and facts.stack_image != facts.run_image:
        yield _image("stack-image", origin.stack.run)
    if origin.stack and isinstance(cause, Push):
        yield _image("build-image", origin.stack.build)
    for base in origin.release.image.bases:
        yield _image("base-image", base)
    for name, digest in sorted(_buildpacks(facts).items()):
        hashed = {"sha256": digest.removeprefix("sha256:")}
        yield {"name": name, "uri": f"urn:cnb:builder:{name}", "digest": hashed}


def _commit(builder: str, repository: AppName, ref: str, commit: CommitId) -> dict[str, object]:
    uri = f"git+{builder.rstrip('/')}/{repository}.git@{ref}"
    return {"name": "source", "uri": uri, "digest": {"gitCommit": commit}}


def _image(name: str, image: ImageRef) -> dict[str, object]:
    hashed = {"sha256": image.digest.removeprefix("sha256:")}
    return {"name": name, "uri": f"oci://{image.repository}", "digest": hashed}


def _buildpacks(facts: ImageFacts) -> Mapping[str, str]:
    try:
        found: Any = json.loads(facts.labels.get(BUILDPACKS_LABEL, "{}"))
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
