import pytest

from gitreceive.buildpacks.caches import LEAST, CacheWeight


@pytest.mark.parametrize(
    ("path", "owner", "folder"),
    [
        ("layers/x/deps/root/.cache/pip/http/a/b", "pip", "layers/x/deps/root/.cache/pip"),
        ("layers/x/deps/.npm/_cacache/content-v2/x", "npm", "layers/x/deps/.npm/_cacache"),
        ("layers/x/go/pkg/mod/cache/download/y", "Go", "layers/x/go/pkg/mod/cache"),
        ("workspace/.cargo/registry/src/z", "Cargo", "workspace/.cargo/registry"),
        ("layers/x/sys/var/cache/apt/archives/a.deb", "apt", "layers/x/sys/var/cache/apt/archives"),
        ("layers/x/php/.composer/cache/files/p.zip", "Composer", "layers/x/php/.composer/cache"),
    ],
)
def test_a_cache_is_told_with_its_owner_its_folder_and_its_weight(path: str, owner: str, folder: str) -> None:
    weight = CacheWeight()
    weight.add(path, LEAST)
    weight.add(f"{path}2", 500_000)
    (said,) = weight.warnings("x:deps")
    assert said.startswith(f"layer x:deps holds a cache of {owner}, 1.5 MB in /{folder}: ")


@pytest.mark.parametrize(
    "path",
    ["workspace/app/cache/pages", "layers/x/deps/lib/cachetools/x.py", "workspace/.cache/thumbnails/x"],
)
def test_what_is_no_package_managers_cache_is_left_alone(path: str) -> None:
    weight = CacheWeight()
    weight.add(path, 10 * LEAST)
    assert weight.warnings("app") == []


def test_a_small_cache_is_not_worth_a_word() -> None:
    weight = CacheWeight()
    weight.add("workspace/.cache/pip/x", LEAST - 1)
    assert weight.warnings("app") == []
