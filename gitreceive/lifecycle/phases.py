"""A build as it happens in the container: source, detect, restore, build, pack."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import frames, leaks, pack, record, sbom
from gitreceive.lifecycle.build import BuildFailedError, Outcome, build
from gitreceive.lifecycle.detect import Detection, detect
from gitreceive.lifecycle.folder import Buildpack, FolderError, Group, Member, load
from gitreceive.lifecycle.image import Config, config_layer, contents, image_labels
from gitreceive.lifecycle.layers import ContractError, LayerFolder, declared_layers
from gitreceive.lifecycle.observation import DETECT, Observation
from gitreceive.lifecycle.place import Place, Variables, environment, prepare_platform
from gitreceive.lifecycle.record import Kept
from gitreceive.lifecycle.slices import split
from gitreceive.lifecycle.source import SourceTarError, unpack
from gitreceive.lifecycle.talk import Talk

Send = Callable[[bytes], object]


class EndError(Exception):
    """The build ends here; ``event`` tells the server why."""

    def __init__(self, **event: Any) -> None:
        super().__init__(event.get("reason", ""))
        self.event = event


@dataclass(frozen=True)
class Channel:
    """To and from the server. ``read(n)`` gives n bytes, fewer only at the end."""

    read: Callable[[int], bytes]
    send: Send


def serve(channel: Channel, place: Place, base_env: Mapping[str, str]) -> None:
    """Take a request and a source from the channel; send layers and, last, ``done`` or ``failed``."""
    request = frames.read_message(channel.read)
    talk = Talk(request["mark"])
    try:
        event = _run(request, channel, place, base_env, talk)
    except EndError as error:
        event = {"event": "failed", **error.event}
    except FolderError as error:
        event = {"event": "failed", "kind": "folder", "reason": str(error)}
    except (OSError, SourceTarError, frames.ChannelError) as error:
        event = {"event": "failed", "kind": "machine", "reason": f"{type(error).__name__}: {error}"}
    talk.end()
    frames.write_message(channel.send, event)


def _run(
    request: Mapping[str, Any],
    channel: Channel,
    place: Place,
    base_env: Mapping[str, str],
    talk: Talk,
) -> dict[str, Any]:
    clock = _Clock()
    secrets = prepare_platform(place, request["env"], request["secrets"], request["ca_bundle"])
    env = environment(place, base_env, request["env"], request["target"], ca=bool(request["ca_bundle"]))
    unpack(frames.StreamFile(frames.read_stream(channel.read)), place.app)
    source = record.fingerprint(place.app)
    clock.lap("unpack")
    with Observation(place.app, wanted=bool(request.get("observe"))) as observed:
        detection = _detect(request, place, env, talk)
        observed.lap(DETECT)
        clock.lap("detect")
        kept = record.restore(
            place.layers, request["stack"], set(request["known"]), talk.detail, fresh=request["nocache"]
        )
        clock.lap("restore")
        packer = _Packer(request, place, channel.send, kept, leaks.Leaks(secrets))
        outcome = _build(detection, place, env, talk, packer, observed)
    clock.lap("build")
    packer.pack(outcome)
    config = config_layer(
        detection.group, outcome, place, [layer for layer in outcome.layers if layer.launch]
    )
    packer.pack_rest(config, sbom.for_image(detection.group, outcome.layers, place.layers), outcome.slices)
    record.close(place.layers, request["stack"], packer.record)
    clock.lap("pack")
    return {
        "event": "done",
        "buildpacks": [f"{b.id}@{b.version}" for b in detection.group],
        "processes": list(outcome.processes),
        "default": config.default,
        "labels": image_labels(detection.group, outcome),
        "contents": contents(detection.group, outcome.layers),
        "tried": [f"{v.id}@{v.version}" for v in detection.verdicts],
        "inputs": _inputs(outcome, place, source),
        "seconds": clock.seconds,
        "observed": _observed(observed, outcome, place, source) if request.get("observe") else {},
    }


def _inputs(outcome: Outcome, place: Place, source: str) -> dict[str, tuple[str, ...]] | None:
    """By buildpack; None where the next build cannot be left out: one does not say, the build wrote into the source, or the source
    is in more than one layer.
    """
    declared = {identity: globs for identity, globs in outcome.inputs.items() if globs is not None}
    if (
        outcome.slices
        or len(declared) < len(outcome.inputs)
        or any("**" in globs for globs in declared.values())
    ):
        return None
    return declared if record.fingerprint(place.app) == source else None


def _observed(observed: Observation, outcome: Outcome, place: Place, source: str) -> dict[str, Any]:
    """With what the buildpacks declare in this build, by id, and whether the source is another than it was."""
    changed = record.fingerprint(place.app) != source
    return {**observed.as_json(), "inputs": outcome.inputs, "source_changed": changed}


def _detect(request: Mapping[str, Any], place: Place, env: Variables, talk: Talk) -> Detection:
    folder = load(place.buildpacks)
    order: list[Group] = [tuple(_member(member) for member in group) for group in request["order"]]
    detection = detect(folder, order, place.app, place.platform, env)
    if not detection.group:
        raise EndError(kind="detect", **detection.as_json())
    talk.step(f"Detected: {', '.join(b.name for b in detection.group)}")
    by_name = {f"{v.id} {v.version}": v for v in detection.verdicts}
    for buildpack in detection.group:
        reason = by_name[buildpack.name].reason
        if reason:
            talk.detail(f"{buildpack.id}: {reason}")
    for entry in detection.entries:
        talk.detail(f"plan: {entry.name}, provided by {', '.join(entry.providers)}")
    return detection


def _member(sent: Mapping[str, Any]) -> Member:
    return Member(sent["id"], sent["version"], sent["optional"], tuple(sent["exec_env"]))


def _build(
    detection: Detection,
    place: Place,
    env: Variables,
    talk: Talk,
    packer: "_Packer",
    observed: Observation,
) -> Outcome:
    killed_before = _out_of_memory_kills()
    try:
        return build(detection.group, detection.entries, place, env, talk, observed.lap)
    except BuildFailedError as error:
        packer.keep_after_failure(detection.group)
        raise EndError(
            kind="buildpack",
            buildpack=error.buildpack.id,
            code=error.code,
            reason=error.reason,
            where=error.where,
            path=str(error.buildpack.path),
            out_of_memory=_out_of_memory_kills() > killed_before,
        ) from error


class _Packer:
    """Sends what the image is made of, and remembers what the next build may use."""

    def __init__(
        self,
        request: Mapping[str, Any],
        place: Place,
        send: Send,
        kept: record.Record,
        found: leaks.Leaks,
    ) -> None:
        self.record: dict[str, Kept] = {}
        self._stack = request["stack"]
        self._known = set(request["known"])
        self._place = place
        self._send = send
        self._kept = kept
        self._leaks = found
        self._owner = (os.getuid(), os.getgid())

    def pack(self, outcome: Outcome) -> None:
        for layer in outcome.layers:
            if layer.cache or layer.launch:
                self._refuse_leaks(layer)
        for layer in outcome.layers:
            if layer.cache or layer.launch:
                self._pack_layer(layer)

    def pack_rest(
        self, config: Config, sboms: Mapping[str, Sequence[Path]], slices: Sequence[Sequence[str]]
    ) -> None:
        """The app comes last: it changes with every push."""
        if sboms:
            self._stream("sbom", pack.sboms(sboms, self._owner))
        self._stream("launcher", pack.launcher(self._place.launcher, self._owner))
        self._stream("config", pack.config(config.files, config.links, self._owner))
        parts = split(self._place.app, slices)
        for number, paths in enumerate(parts, 1):
            self._slice(
                f"slice {number}", partial(pack.part, self._place.app, "workspace", self._owner, paths)
            )
        self._stream("app", pack.rest(self._place.app, "workspace", self._owner, parts))

    def keep_after_failure(self, group: Sequence[Buildpack]) -> None:
        """What the failed build did not touch is as good as before, and pure caches (downloads) are of use as they are."""
        layers = self._place.layers
        kept = {key: entry for key, entry in self._kept.items() if self._is_as_it_was(key, entry)}
        caches = {
            key for key, entry in self._kept.items() if entry.cache and not (entry.launch or entry.build)
        }
        for buildpack in group:
            try:
                declared = declared_layers(buildpack, layers / buildpack.folder)
            except ContractError:
                continue  # then only what the last build declared is known
            caches |= {_key(layer, layers) for layer in declared if layer.only_cache}
        for key in sorted(caches):
            if (layers / key).is_dir() and not self._leaks.find(layers / key):
                entry = Kept(record.fingerprint(layers / key), "", launch=False, build=False, cache=True)
                kept[key] = entry
        record.close(layers, self._stack, kept)

    def _is_as_it_was(self, key: str, entry: Kept) -> bool:
        folder = self._place.layers / key
        return not entry.cache or (folder.is_dir() and record.fingerprint(folder) == entry.fingerprint)

    def _refuse_leaks(self, layer: LayerFolder) -> None:
        leak = self._leaks.find(layer.path)
        if leak:
            record.remove(layer.path)
            raise EndError(kind="leak", layer=layer.title, secret=leak.secret, file=leak.file)

    def _pack_layer(self, layer: LayerFolder) -> None:
        key = _key(layer, self._place.layers)
        before = self._kept.get(key)
        if not layer.path.is_dir():
            if layer.launch:
                self._reuse_without_content(layer, before, key)
            return
        current = record.fingerprint(layer.path)
        diff_id = before.diff_id if before and before.cache and before.fingerprint == current else ""
        if layer.launch:
            if diff_id in self._known:
                self._reuse(layer, diff_id)
            else:
                diff_id = self._stream(layer.title, pack.tree(layer.path, _inside(layer.path), self._owner))
        self.record[key] = Kept(current, diff_id, layer.launch, layer.build, layer.cache)

    def _reuse_without_content(self, layer: LayerFolder, before: Kept | None, key: str) -> None:
        if before is None or before.diff_id not in self._known:
            raise EndError(
                kind="buildpack",
                buildpack=layer.buildpack,
                code=None,
                reason=f"its launch layer {layer.name!r} has no folder, and no previous image has it",
                out_of_memory=False,
            )
        self._reuse(layer, before.diff_id)
        self.record[key] = replace(before, fingerprint="", launch=True, build=layer.build, cache=False)

    def _reuse(self, layer: LayerFolder, diff_id: str) -> None:
        frames.write_message(self._send, {"event": "reuse", "title": layer.title, "diff_id": diff_id})

    def _slice(self, title: str, chunks: Callable[[], Iterator[bytes]]) -> None:
        """Read first for its hash, as it mostly is what the last image has; it is then not sent."""
        if self._known:
            digest = hashlib.sha256()
            for chunk in chunks():
                digest.update(chunk)
            diff_id = f"sha256:{digest.hexdigest()}"
            if diff_id in self._known:
                frames.write_message(self._send, {"event": "reuse", "title": title, "diff_id": diff_id})
                return
        self._stream(title, chunks())

    def _stream(self, title: str, chunks: Iterator[bytes]) -> str:
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for chunk in chunks:
                digest.update(chunk)
                yield chunk

        frames.write_message(self._send, {"event": "layer", "title": title})
        frames.write_stream(self._send, hashed())
        return f"sha256:{digest.hexdigest()}"


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


def _key(layer: LayerFolder, layers: Path) -> str:
    return str(layer.path.relative_to(layers))


def _inside(path: Path) -> str:
    return str(path).lstrip("/")


def _out_of_memory_kills() -> int:
    """How many processes of this container the kernel has killed for memory (cgroup v2, v1); 0 where it is not told."""
    for file in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            lines = Path(file).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return int(counts.get("oom_kill", 0))
    return 0
