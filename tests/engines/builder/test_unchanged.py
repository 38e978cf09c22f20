"""A push that needs no build, held against a whole build of the same commit: equal layers, equal config."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitreceive.buildpacks.choice import read_choice
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.errors import BuildError
from gitreceive.model import AppName, Blob, Build, Digest, JobId, PushOptions, Source, Stack
from gitreceive.ports import BuildRequest
from tests.engines.builder.case import HeardLog, write_buildpack, write_order
from tests.engines.builder.sources import EXECUTABLE, SYMLINK, Node, Repository

pytestmark = pytest.mark.docker

INPUTS = """
cat > $CNB_LAYERS_DIR/store.toml <<END
[metadata.gitreceive]
inputs = ["needs.txt", "conf/*.toml", "Procs"]
END
"""
# a layer of what the inputs say, made anew when they change; what the app says of itself is not looked at
DEPENDENCIES = r"""
layer=$CNB_LAYERS_DIR/deps
made=$( (cat needs.txt; ls -l needs.txt | cut -c1-10; cat conf/*.toml; echo $FLAVOUR) 2>/dev/null | sha256sum | cut -c1-64)
if ! grep -q $made $layer.toml 2>/dev/null; then
  rm -rf $layer; mkdir -p $layer/env.launch; echo $made > $layer/made; echo -n $made > $layer/env.launch/MADE
fi
printf '[types]\nlaunch = true\ncache = true\n[metadata]\nkey = "%s"\n' $made > $layer.toml
cat > $CNB_LAYERS_DIR/launch.toml <<END
[[processes]]
type = "web"
command = ["sh", "-c", "cat $(cat needs.txt 2>/dev/null | tr -cd a-z)"]
END
"""
PROCS = r"""
printf '[[processes]]\ntype = "%s"\ncommand = ["true"]\n' $(tr -cd a-z < Procs) > $CNB_LAYERS_DIR/launch.toml
"""

Tree = dict[bytes, Node]
START: Tree = {
    b"app": Node(b"one\n"),
    b"lib/a": Node(b"1"),
    b"lib-b": Node(b"2"),
    b"needs.txt": Node(b"flask\n"),
    b"conf/a.toml": Node(b"a = 1\n"),
    b"Procs": Node(b"worker\n"),
}


@dataclass
class Bench:
    """``pushed`` builds as the server does; ``whole`` never leaves a build out, and shares nothing with it."""

    folder: Path
    stack: Stack
    repository: Repository
    env: dict[str, str] = field(default_factory=dict)
    known: dict[Digest, Blob] = field(default_factory=dict)
    builders: list[DockerBuilder] = field(default_factory=list)

    def pushed(self, tree: Mapping[bytes, Node], *options: str) -> tuple[Build, HeardLog]:
        build, log = self._build("pushed", self.repository.commit(tree), self.known, options)
        self.known |= {layer.diff_id: layer.blob for layer in build.layers}
        return build, log

    def whole(self, tree: Mapping[bytes, Node], *options: str) -> Build:
        return self._build("whole", self.repository.commit(tree), {}, ("nocache", *options))[0]

    def _build(
        self, place: str, source: Source, previous: Mapping[Digest, Blob], options: tuple[str, ...]
    ) -> tuple[Build, HeardLog]:
        chosen = BuildSettings(buildpacks=str(self.folder / "packs"), network="none", env=dict(self.env))
        builder = DockerBuilder(chosen, self.folder / place)
        self.builders.append(builder)
        store, log = self.repository.store, HeardLog()
        said = PushOptions.parse(tuple(dict.fromkeys(options)))

        def read(path: str, limit: int) -> bytes | None:
            return store.read(source, path, limit)

        choice, project = read_choice(read, said, ())
        request = BuildRequest(
            job=JobId(1),
            source=source,
            options=said,
            stack=self.stack,
            previous=previous,
            archive=store.archive(source),
            root=store.entries(source),
            tree=lambda: store.tree(source),
            read=read,
            choice=choice,
            project=project,
        )
        with builder.build(request, log, Cancellation()) as build:
            for layer in build.layers:
                assert layer.path is None or layer.path.stat().st_size == layer.blob.size
        builder.close()
        return build, log

    def agree(self, tree: Mapping[bytes, Node], *options: str) -> bool:
        """Push, hold it against a whole build, and say whether the push went without one."""
        build, log = self.pushed(tree, *options)
        whole = self.whole(tree, *options)
        assert [(layer.title, layer.diff_id) for layer in build.layers] == [
            (layer.title, layer.diff_id) for layer in whole.layers
        ]
        assert build.layers[-1].blob == whole.layers[-1].blob
        assert (build.config, build.processes, build.buildpacks) == (
            whole.config,
            whole.processes,
            whole.buildpacks,
        )
        return "No build needed" in log.text


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unchanged")
    packs = folder / "packs"
    node = '[ -f package.json ] || exit 100; grep -q node package.json || { echo "no node"; exit 100; }'
    write_buildpack(packs, "node", detect=node, build=INPUTS, detects=("package.json",))
    write_buildpack(packs, "one", build=INPUTS + DEPENDENCIES, detects=("app",), detect="[ -f app ]")
    write_buildpack(
        packs, "procs", build=INPUTS + PROCS, detects=("Procs",), detect="[ -f Procs ] || exit 100"
    )
    write_buildpack(packs, "silent", build="", detect="[ -f quiet ] || exit 100", detects=("quiet",))
    write_buildpack(
        packs,
        "writes",
        build=INPUTS + "touch made-here",
        detect="[ -f writes ] || exit 100",
        detects=("writes",),
    )
    write_order(packs, ("node", "procs?"), ("one", "procs?", "silent?", "writes?"))
    return folder


@pytest.fixture
def bench(workshop: Path, stack: Stack, tmp_path: Path, client: docker.APIClient) -> Iterator[Bench]:
    (tmp_path / "packs").symlink_to(workshop / "packs")
    bench = Bench(tmp_path, stack, Repository(tmp_path / "repository"))
    yield bench
    for builder in bench.builders:
        builder.sweep()
        builder.forget(AppName("shop"))
        builder.close()
    for owner in {builder.owner for builder in bench.builders}:
        for image in client.images(filters={"label": f"gitreceive.builder={owner}"}):
            client.remove_image(image["Id"], force=True)


LEFT_OUT, BUILT = True, False


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        ({b"app": Node(b"two\n")}, LEFT_OUT),
        ({}, LEFT_OUT),
        ({b"lib/a": None, b"lib/c": Node(b"1")}, LEFT_OUT),
        ({b"app": Node(b"one\n", EXECUTABLE)}, LEFT_OUT),
        ({b"link": Node(b"../outside", SYMLINK), b"caf\xe9": Node(b"")}, LEFT_OUT),
        ({b"lib/a": Node(b"../needs.txt", SYMLINK)}, LEFT_OUT),
        ({b".gitignore": Node(b"x")}, LEFT_OUT),
        ({b"needs.txt": Node(b"django\n")}, BUILT),
        ({b"needs.txt": None}, BUILT),
        ({b"needs.txt": Node(b"flask\n", EXECUTABLE)}, BUILT),
        ({b"needs.txt": None, b"needs": Node(b"flask\n")}, BUILT),
        ({b"needs.txt": Node(b"lib-b", SYMLINK)}, BUILT),
        ({b"conf/b.toml": Node(b"b = 1\n")}, BUILT),
        ({b"conf/a.toml": None, b"conf/z.toml": Node(b"a = 1\n")}, BUILT),
        ({b"conf/a.toml": None, b"conf": Node(b"lib", SYMLINK)}, BUILT),
        ({b"Procs": Node(b"clock\n")}, BUILT),
        ({b"Procs": None}, BUILT),
        ({b"package.json": Node(b"{}")}, BUILT),
        ({b"package.json": Node(b"node")}, BUILT),
        ({b".gitattributes": Node(b"conf/a.toml export-ignore\n")}, BUILT),
        ({b"quiet": Node(b"")}, BUILT),
    ],
)
def test_a_build_is_left_out_where_its_inputs_are_the_same_and_gives_what_a_build_gives(
    bench: Bench, change: Mapping[bytes, Node | None], left_out: bool
) -> None:
    bench.pushed(START)
    assert bench.agree({k: node for k, node in {**START, **change}.items() if node}) is left_out


def test_other_options_another_environment_and_nocache_ask_for_a_build(bench: Bench) -> None:
    bench.pushed(START)
    assert not bench.agree(START, "nocache")
    assert bench.agree(START)
    assert not bench.agree(START, "buildpack=test/one")
    assert bench.agree(START, "buildpack=test/one")
    bench.env["FLAVOUR"] = "sweet"
    assert not bench.agree(START, "buildpack=test/one")


def test_a_file_into_which_git_writes_the_commit_is_never_the_same(bench: Bench) -> None:
    tree = {
        **START,
        b".gitattributes": Node(b"needs.txt export-subst\n"),
        b"needs.txt": Node(b"$Format:%h$\n"),
    }
    bench.pushed(tree)
    assert not bench.agree({**tree, b"lib/a": Node(b"2")})


@pytest.mark.parametrize("name", [b"quiet", b"writes"])
def test_a_build_that_says_nothing_or_writes_into_the_source_is_not_left_out(
    bench: Bench, name: bytes
) -> None:
    tree = {**START, name: Node(b"")}
    bench.pushed(tree)
    assert not bench.agree({**tree, b"app": Node(b"two\n")})


def test_layers_that_the_registry_lost_are_built_again(bench: Bench) -> None:
    bench.pushed(START)
    bench.known.clear()
    assert not bench.agree({**START, b"app": Node(b"two\n")})


def test_after_forget_nothing_is_known(bench: Bench) -> None:
    bench.pushed(START)
    bench.builders[0].forget(AppName("shop"))
    assert not bench.agree(START)


def test_a_build_that_failed_leaves_what_is_known_of_the_last_good_one(bench: Bench) -> None:
    bench.pushed(START)
    with pytest.raises(BuildError):
        bench.pushed({**START, b"Procs": Node(b"")})
    assert bench.agree({**START, b"app": Node(b"two\n")})


def test_a_source_with_a_build_secret_is_refused_without_a_build_as_with_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = bench.folder / "secret"
    secret.write_text("hunter2-hunter2")
    chosen = BuildSettings(
        buildpacks=str(bench.folder / "packs"), network="none", secrets={"token": str(secret)}
    )
    builder = DockerBuilder(chosen, bench.folder / "pushed")
    bench.builders.append(builder)

    def push(tree: Tree) -> HeardLog:
        source, log = bench.repository.commit(tree), HeardLog()
        store = bench.repository.store
        request = BuildRequest(
            JobId(1),
            source,
            PushOptions(),
            bench.stack,
            bench.known,
            store.archive(source),
            (),
            lambda: store.tree(source),
        )
        with builder.build(request, log, Cancellation()) as build:
            bench.known |= {layer.diff_id: layer.blob for layer in build.layers}
        return log

    push(START)
    kept = b"".join(path.read_bytes() for path in (bench.folder / "pushed" / "builds").iterdir())
    assert b"hunter2" not in kept
    assert "No build needed" in push({**START, b"app": Node(b"two")}).text
    with pytest.raises(BuildError, match="build secret token is in layer app: /workspace/app"):
        push({**START, b"app": Node(b"it is hunter2-hunter2")})
    secret.write_text("hunter3-hunter3")
    assert "No build needed" not in push(START).text


_HEAD = b'[_]\nschema-version = "0.2"\n'
_PROJECTS = (
    b"",
    _HEAD,
    _HEAD + b'[[io.buildpacks.build.env]]\nname = "FLAVOUR"\nvalue = "salty"\n',
    _HEAD + b'[io.buildpacks]\nexclude = ["lib/", "/lib-b"]\n',
    _HEAD + b'[io.buildpacks]\ninclude = ["app", "*.txt", "Procs"]\n',
    _HEAD + b'[[io.buildpacks.group]]\nid = "test/one"\n',
    _HEAD + b'[[io.buildpacks.group]]\nid = "test/procs"\n[[io.buildpacks.group]]\nid = "test/one"\n',
    _HEAD + b'[[io.buildpacks.post.group]]\nid = "me/s"\n'
    b'[io.buildpacks.post.group.script]\napi = "0.10"\ninline = "ls > listing"\n',
)


@pytest.mark.parametrize("project", _PROJECTS[2:-1])
def test_what_project_toml_asks_for_is_built_once(bench: Bench, project: bytes) -> None:
    bench.pushed(START)
    tree = {**START, b"project.toml": Node(project)}
    assert bench.agree(tree) is BUILT
    assert bench.agree({**tree, b"app": Node(b"two\n")}) is LEFT_OUT
    assert bench.agree({**tree, b"project.toml": Node(project + b"# a remark\n")}) is LEFT_OUT
    assert bench.agree(START) is BUILT


def test_a_file_that_project_toml_leaves_out_changes_nothing(bench: Bench) -> None:
    tree = {**START, b"project.toml": Node(_HEAD + b'[io.buildpacks]\nexclude = ["conf/"]\n')}
    first, _ = bench.pushed(tree)
    assert bench.agree({**tree, b"conf/a.toml": Node(b"a = 2\n")}) is LEFT_OUT
    second, _ = bench.pushed({**tree, b"conf/b.toml": Node(b"b = 2\n")})
    assert [layer.diff_id for layer in first.layers] == [layer.diff_id for layer in second.layers]


def test_a_source_with_a_script_in_project_toml_is_always_built(bench: Bench) -> None:
    tree = {**START, b"project.toml": Node(_PROJECTS[-1])}
    bench.pushed(tree)
    assert bench.agree({**tree, b"app": Node(b"two\n")}) is BUILT


_paths = st.sampled_from(
    [*START, b"package.json", b"lib/c", b"conf/b.toml", b"lib", b"conf", b"link", b".gitattributes"]
)
_nodes = (
    st.none()
    | st.builds(
        Node,
        st.sampled_from([b"one\n", b"two\n", b"* export-subst\n"]),
        st.sampled_from([0o100644, EXECUTABLE]),
    )
    | st.builds(Node, st.sampled_from([b"lib", b"needs.txt", b"nowhere"]), st.just(SYMLINK))
)
_pushes = st.lists(
    st.tuples(
        st.dictionaries(_paths, _nodes, max_size=2),
        st.sampled_from(["", "", "sweet"]),
        st.sampled_from([(), (), ("nocache",), ("buildpack=test/one",)]),
        st.sampled_from(_PROJECTS),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_pushes)
def test_whatever_is_pushed_gives_what_a_whole_build_of_it_gives(
    bench: Bench, pushes: list[tuple[Mapping[bytes, Node | None], str, tuple[str, ...], bytes]]
) -> None:
    bench.env.clear()
    tree = dict(START)
    for change, flavour, options, project in pushes:
        for path, node in change.items():
            tree = {k: v for k, v in tree.items() if k != path and not _clash(k, path)}
            tree |= {path: node} if node else {}
        tree |= {b"app": Node(b"three\n"), b"Procs": Node(b"worker\n")}  # what every build needs
        tree |= {b"project.toml": Node(project)}
        bench.env["FLAVOUR"] = flavour
        bench.agree(tree, *options)


def _clash(one: bytes, other: bytes) -> bool:
    return one.startswith(other + b"/") or other.startswith(one + b"/")
