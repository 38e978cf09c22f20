"""Settings → engines. The only place that names them; each is imported when it is first wanted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreceive import config, data_folder
from gitreceive.buildpacks.package import Package
from gitreceive.cancellation import Cancellation
from gitreceive.certificates import SOON
from gitreceive.errors import ConfigError, UsageError
from gitreceive.model import Build, Check, Digest, Drain, ImageRef, Limits, Stack, StackRecipe
from gitreceive.ports import (
    Builder,
    BuildNetworks,
    BuildpackSource,
    BuildRequest,
    Ledger,
    Log,
    LogBook,
    Metrics,
    Observer,
    Platform,
    Registry,
    Shelf,
    SourceStore,
    Target,
    Unobserved,
)
from gitreceive.ports.targets import no_certificates

if TYPE_CHECKING:
    from gitreceive.drains import DrainService, Receiver
    from gitreceive.engines.oci_registry import OciRegistry
    from gitreceive.engines.stacks import DerivedStacks


def modules(target: str) -> tuple[str, ...]:
    """Those that are imported here and by engines when they are first wanted, as far as commands over SSH want them."""
    engines = (
        *("age_seal", "build_networks", "buildpackages", "by_packages", "by_source", "docker_builder"),
        *("docker_push", "dockerfile_builder", "file_logbook", "git_store", "log_drains", "oci_registry"),
        *("sql_ledger", "stacks", f"{target}_target"),
    )
    others = ("buildpacks.allowed", "buildpacks.dockerfile", "supplychain.chosen")
    cluster = ("kubernetes.dynamic", "kubernetes.stream.ws_client") if target == "kubernetes" else ()
    ours = (*(f"engines.{name}" for name in engines), *others)
    return (*(f"gitreceive.{name}" for name in ours), "cryptography.fernet", *cluster)


def platform(settings: config.Settings, observer: Observer | None = None) -> Platform:
    """All engines, and who counts what is done with them. Nothing is asked of Docker, the registry or the cluster yet."""
    from gitreceive.supplychain.chosen import choose

    oci = _oci_registry(settings)
    networks = build_networks(settings)
    stacks = derived_stacks(settings, oci, networks)
    book = ledger(settings)
    registry = _registry(settings, oci)
    inventory, attestor = choose(settings, registry)
    return Platform(
        sources=sources(settings),
        builder=builder(settings, stacks, networks),
        registry=registry,
        target=target(settings, oci, book),
        ledger=book,
        logbook=logbook(settings),
        stack=settings.stack,
        run_images=stacks,
        default_memory=default_memory(settings),
        shelves=(_fetched_buildpacks(settings), stacks, inventory),
        observer=observer or Unobserved(),
        attestor=attestor,
    )


def metrics(settings: config.Settings) -> Metrics:
    """What Prometheus is told. It watches nothing yet."""
    from gitreceive.engines.prometheus_metrics import PrometheusMetrics

    return PrometheusMetrics(by_app=settings.metrics.by_app)


def default_memory(settings: config.Settings) -> int:
    """Bytes of a process for which no limit was set. Raises ConfigError."""
    if settings.target == "kubernetes":
        name, text = "kubernetes.memory", settings.kubernetes.memory
    else:
        units = {"k": "Ki", "m": "Mi", "g": "Gi"}  # Docker's are binary ones
        name, text = "docker.memory", settings.docker.memory.removesuffix("b")
        text = text[:-1] + units.get(text[-1:], text[-1:])
    try:
        return Limits(memory=text).memory_bytes or 0
    except UsageError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint) from error


def ledger(settings: config.Settings) -> Ledger:
    from gitreceive.engines.sql_ledger import open_ledger

    data_folder.make(settings)
    return open_ledger(settings)


def sources(settings: config.Settings) -> SourceStore:
    from gitreceive.engines.git_store import GitStore

    return GitStore(settings)


def logbook(settings: config.Settings) -> LogBook:
    from gitreceive.engines.file_logbook import FileLogBook

    return FileLogBook(settings.data_dir / "logs", settings.log_limit)


def target(settings: config.Settings, oci: "OciRegistry | None" = None, book: Ledger | None = None) -> Target:
    """What ``settings.target`` names, with the registry's credentials for pulling and the ledger's certificates."""
    credentials = (oci or _oci_registry(settings)).credentials
    certificates = book.certificate if book else no_certificates
    if settings.target == "kubernetes":
        from gitreceive.engines.kubernetes_target import KubernetesTarget

        return KubernetesTarget(settings, credentials, certificates)
    from gitreceive.engines.docker_target import DockerTarget

    return DockerTarget(settings, credentials, certificates)


def builder(
    settings: config.Settings,
    stacks: "DerivedStacks | None" = None,
    networks: BuildNetworks | None = None,
) -> Builder:
    """A Dockerfile goes to Docker, everything else to buildpacks, on a stack with the system packages that it asks for."""
    from gitreceive.buildpacks.dockerfile import takes
    from gitreceive.engines.by_packages import BuilderWithPackages
    from gitreceive.engines.by_source import BuilderBySource
    from gitreceive.engines.docker_builder import DockerBuilder
    from gitreceive.engines.dockerfile_builder import DockerfileBuilder

    def by_docker(request: BuildRequest) -> bool:
        return not request.choice.group and takes(request.root)

    networks = networks or build_networks(settings)
    buildpacks = DockerBuilder(
        settings.build, settings.data_dir, elsewhere=buildpack_source(settings), networks=networks
    )
    derive = (stacks or derived_stacks(settings, networks=networks)).derive
    return BuilderBySource(
        by_docker,
        DockerfileBuilder(settings, networks),
        BuilderWithPackages(buildpacks, derive),
    )


def derived_stacks(
    settings: config.Settings, oci: "OciRegistry | None" = None, networks: BuildNetworks | None = None
) -> "DerivedStacks":
    """Stacks with system packages."""
    from gitreceive.engines.stacks import DerivedStacks

    networks = networks or build_networks(settings)
    return DerivedStacks(settings.build, settings.data_dir, oci or _oci_registry(settings), networks)


def build_networks(settings: config.Settings) -> BuildNetworks:
    """What builds reach, and that is neither the registry nor the API server."""
    from gitreceive.engines.build_networks import GuardedNetworks, Place, of_url

    def refused() -> tuple[Place, ...]:
        urls = [f"{'http' if settings.registry_insecure else 'https'}://{settings.registry}"]
        if settings.target == "kubernetes":
            from gitreceive.engines.kubernetes_target.connection import api_server

            urls.append(api_server(settings.kubernetes.context))
        return tuple(place for url in urls if (place := of_url(url)))

    return GuardedNetworks(settings.build, settings.data_dir, refused)


@contextmanager
def buildpack_bench(
    settings: config.Settings, buildpacks: Path, observe: Callable[[Mapping[str, Any]], object]
) -> Iterator[Builder]:
    """A builder over a folder of buildpacks, apart from the server's: its caches and images are its own.

    ``observe`` is given what each build read of its source.
    """
    from gitreceive.engines.docker_builder import DockerBuilder

    build = replace(settings.build, buildpacks=str(buildpacks))
    folder, networks = config.cache_dir() / "buildpack-test", build_networks(settings)
    with closing(DockerBuilder(build, folder, observe, networks=networks)) as builder:
        yield builder


def buildpack_source(settings: config.Settings) -> BuildpackSource:
    """Buildpacks that are named by an image or an archive. Nothing is asked of anybody yet. Raises ConfigError."""
    from gitreceive.buildpacks.allowed import Allowed
    from gitreceive.engines.buildpackages import BuildpackSources, Downloads, PublicWay
    from gitreceive.engines.oci_registry import OciRegistry

    environment = config.process_environment()
    own = f"docker://{settings.registry.strip('/')}/buildpacks"
    allowed = Allowed.parse((own, *settings.build.buildpack_sources))
    way = PublicWay(environment, settings.build.ca_bundle, allowed.lists)
    guarded = PublicWay(environment, settings.build.ca_bundle, lambda _: False)
    return BuildpackSources(
        settings.data_dir / "buildpacks",
        allowed,
        Downloads(way),
        own=_oci_registry(settings),
        # registries that nobody has vouched for are not told any login
        strange=OciRegistry(
            "docker.io", insecure=False, environment=environment, login=lambda _: None, way=guarded
        ),
    )


def drain_receiver(settings: config.Settings, drain: Drain) -> "Receiver":
    """Where a drain leads. Nothing is asked of it yet. Raises ConfigError."""
    from gitreceive.engines.buildpackages import PublicWay
    from gitreceive.engines.log_drains import (
        Dialer,
        HttpsReceiver,
        SyslogReceiver,
        allowed_networks,
        forbidden,
    )

    address, environment = drain.address, config.process_environment()
    allowed, ca_bundle = allowed_networks(settings.drains.private), settings.drains.ca_bundle
    dialer, tls = Dialer(allowed, environment, ca_bundle), address.scheme == "syslog+tls"
    if address.scheme != "https":
        return SyslogReceiver(lambda: dialer.connect(address.host, address.port, tls=tls), address.shown)
    headers = {name: value.reveal() for name, value in drain.headers.items()}
    login = (
        (address.user.reveal(), address.password.reveal() if address.password else "")
        if address.user
        else None
    )
    way = PublicWay(environment, ca_bundle, lambda _: False, allowed, forbidden)
    probe = partial(dialer.addresses, address.host, address.port)
    return HttpsReceiver(address.url.reveal(), address.shown, headers, login, way, probe)


def drain_service(settings: config.Settings, platform: Platform) -> "DrainService":
    """The log drains of all apps. Nothing runs yet."""
    from gitreceive.drains import DrainService

    return DrainService(
        settings.data_dir,
        platform.target,
        platform.ledger,
        platform.logbook,
        lambda drain: drain_receiver(settings, drain),
        settings.drains.spool_bytes,
    )


def pack(package: Package, spool: Path) -> Build:
    """The package as an image whose layers are files in ``spool``. Raises UsageError, UnavailableError."""
    from gitreceive.engines.buildpackages import pack as make

    return make(package, spool)


def save_package(build: Build, path: Path) -> Digest:
    """Write the package to a file; the digest of its image. Raises UnavailableError."""
    from gitreceive.engines.oci_registry import save

    return save(build, path)


def publish_package(settings: config.Settings, build: Build, reference: str, log: Log) -> ImageRef:
    """Send the package to any registry, as HOST[:PORT]/NAME[:TAG]. Raises RegistryError, UsageError."""
    from gitreceive.engines.oci_registry import OciRegistry, parse_reference

    place, tag = parse_reference(reference)
    if tag.startswith("sha256:"):
        raise UsageError("the digest of a package is not chosen", hint="write HOST[:PORT]/NAME[:TAG]")
    insecure = settings.registry_insecure and settings.registry.partition("/")[0] == place.host
    registry = OciRegistry(place.host, insecure=insecure, environment=config.process_environment())
    with closing(registry):
        image = registry.publish(build, place.name, log, Cancellation())
        registry.tag(image, tag, Cancellation())
    return image


def seal(content: bytes, recipients: Sequence[str], passphrase: str | None) -> bytes:
    """As age has it, for the recipients' keys or for who knows the passphrase. Raises UsageError."""
    from gitreceive.engines.age_seal import seal as make

    return make(content, recipients, passphrase)


def unseal(content: bytes, identity: bytes | None, passphrase: str | None) -> bytes:
    """Raises UsageError where neither opens it, and where it was changed."""
    from gitreceive.engines.age_seal import unseal as opened

    return opened(content, identity, passphrase)


def create_stack(
    settings: config.Settings, name: str, recipe: StackRecipe, log: Log, known: Stack | None = None
) -> Stack:
    """Make a stack, or make ``known`` again, and keep its images in the registry. Raises as ``engines.stacks.create`` does."""
    from gitreceive.engines.stacks import StackRequest, create

    request, environment = StackRequest(name, recipe), config.process_environment()
    with closing(_oci_registry(settings)) as registry:
        return create(request, registry, environment, log, Cancellation(), known=known)


def checks(settings: config.Settings) -> Iterator[tuple[str, Callable[[], Iterable[Check]]]]:
    """What doctor asks, part by part: a name, and the question, which may raise a GitreceiveError."""
    from gitreceive.supplychain.chosen import check_key

    oci = _oci_registry(settings)
    yield "git", lambda: sources(settings).check()
    yield "docker", lambda: builder(settings).check()
    yield "registry", oci.check
    yield settings.target, lambda: target(settings, oci).check()
    yield "ledger", lambda: _check_ledger(settings)
    yield "stack", lambda: _check_own_stack(settings)
    yield "signing key", lambda: check_key(settings.supply_chain)
    yield "certificates", lambda: _check_certificates(settings)
    yield "apps", lambda: _check_apps(settings, target(settings, oci))


def cluster_permissions(
    settings: config.Settings, namespace: str, account: str
) -> tuple[dict[str, Any], ...]:
    """Kubernetes objects: an account for the server, with what it needs in the cluster."""
    from gitreceive.engines.kubernetes_target.permissions import manifest

    return manifest(settings, namespace, account)


def check_stack(settings: config.Settings, stack: Stack) -> Iterator[Check]:
    """The registry still has both images, whole. Raises RegistryError where it does not answer."""
    registry = _oci_registry(settings)
    for kind, image in (("build", stack.build), ("run", stack.run)):
        whole = bool(registry.layers(image))
        yield Check(
            f"stack {stack.name}, {kind} image",
            ok=whole,
            seen=str(image) if whole else f"{image} is not in the registry",
            fix="" if whole else f"gitreceive stack create {stack.name}",
        )


def _fetched_buildpacks(settings: config.Settings) -> Shelf:
    from gitreceive.engines.buildpackages import Kept

    return Kept(settings.data_dir / "buildpacks")


def _oci_registry(settings: config.Settings) -> "OciRegistry":
    from gitreceive.engines.oci_registry import OciRegistry

    return OciRegistry(
        settings.registry, insecure=settings.registry_insecure, environment=config.process_environment()
    )


def _registry(settings: config.Settings, oci: "OciRegistry") -> Registry:
    from gitreceive.engines.docker_push import DockerPush

    return DockerPush(oci, settings.registry)


def _check_ledger(settings: config.Settings) -> Iterator[Check]:
    with closing(ledger(settings)) as book:
        yield from book.check()


def _check_own_stack(settings: config.Settings) -> Iterator[Check]:
    with closing(ledger(settings)) as book:
        stack = book.stack(settings.stack)
    if stack is None:
        name = settings.stack
        yield Check(
            "stack", ok=False, seen=f"there is no stack {name}", fix=f"gitreceive stack create {name}"
        )
    else:
        yield from check_stack(settings, stack)


def _check_certificates(settings: config.Settings) -> Iterator[Check]:
    """Those that apps brought hold for a while yet."""
    now = datetime.now(UTC)
    with closing(ledger(settings)) as book:
        found = [
            (app.name, facts)
            for app in book.apps()
            for facts in book.settings(app.name).routing.certificates.values()
        ]
    late = [(app, facts) for app, facts in found if facts.expires - now < SOON]
    for app, facts in late:
        yield Check(
            f"certificate of {app}",
            ok=False,
            seen=f"for {', '.join(facts.hosts[:3])}: {facts.days_left(now)} days left",
            fix=f"renew it: gitreceive certs add {app}",
        )
    if found and not late:
        yield Check("certificates", ok=True, seen=f"{len(found)}, none of which runs out soon")


def _check_apps(settings: config.Settings, target: Target) -> Iterator[Check]:
    """What the ledger says is live is what runs."""
    with closing(ledger(settings)) as book:
        settled = [
            (app, release)
            for app in book.apps()
            if (release := book.current_release(app.name)) is not None
            and all(job.state.ended for job in book.jobs(app.name, 5))
        ]
    for app, release in settled:
        running = target.running(app.name)
        yield Check(
            f"app {app.name}",
            ok=running == release.number,
            seen=f"{release.label} is live, " + (f"v{running} runs" if running else "nothing runs"),
            fix="" if running == release.number else "push a commit: git commit --allow-empty && git push",
        )
