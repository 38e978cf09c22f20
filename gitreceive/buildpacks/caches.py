"""Package managers' caches in what becomes an image: weight that no process of the app ever reads. Pure."""

import re

LEAST = 1_000_000  # bytes; less is not worth a word

# a cache's folder, and whose it is; each is filled by installing and is of use to the next installation alone
_CACHES = {
    r"\.cache/pip": "pip",
    r"\.cache/uv": "uv",
    r"\.cache/pypoetry": "Poetry",
    r"\.cache/pipenv": "Pipenv",
    r"\.cache/yarn": "Yarn",
    r"\.cache/go-build": "Go",
    r"pkg/mod/cache": "Go",
    r"(?:\.npm/)?_cacache": "npm",
    r"\.composer/cache|\.cache/composer": "Composer",
    r"\.cargo/registry": "Cargo",
    r"\.gradle/caches": "Gradle",
    r"\.bundle/cache": "Bundler",
    r"var/cache/apt/archives": "apt",
}
_CACHE = re.compile(
    "|".join(f"(?P<c{at}>(?:.*?/)?(?:{folder}))/.*" for at, folder in enumerate(_CACHES)), re.DOTALL
)
_WORDS = ("cache", ".cargo/")  # one of them is in each
_OWNERS = tuple(_CACHES.values())


class CacheWeight:
    """Adds up the files of caches in one layer."""

    def __init__(self) -> None:
        self._bytes: dict[tuple[str, str], int] = {}

    def add(self, path: str, size: int) -> None:
        if not any(word in path for word in _WORDS):
            return  # there are many files, and few of them in caches
        found = _CACHE.fullmatch(path)
        if found and found.lastgroup:
            key = (found[found.lastgroup], _OWNERS[int(found.lastgroup[1:])])
            self._bytes[key] = self._bytes.get(key, 0) + size

    def warnings(self, title: str) -> list[str]:
        """One line for each cache that is worth it, the largest first."""
        heavy = sorted(((size, *key) for key, size in self._bytes.items() if size >= LEAST), reverse=True)
        return [
            f"layer {title} holds a cache of {owner}, {size / 1e6:.1f} MB in /{folder}: no process reads it; "
            "keep it in a layer that has cache alone"
            for size, folder, owner in heavy
        ]
