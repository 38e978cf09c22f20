"""How ``web`` starts where no Procfile says so."""

import re
from dataclasses import dataclass
from pathlib import Path

from rubypack.cnb import Refusal
from rubypack.manifest import Manifest

_FILES = ("main.rb", "app.rb", "server.rb")


@dataclass(frozen=True)
class Start:
    """A command without shell, and what it was concluded from."""

    command: tuple[str, ...]
    because: str


def find_start(app: Path, manifest: Manifest) -> Start | None:
    """None where a Procfile names web, or there is one and nothing else to go by. Raises Refusal."""
    procfile = app / "Procfile"
    if procfile.is_file() and re.search(rb"^web\s*:", procfile.read_bytes(), re.MULTILINE):
        return None
    if (app / "config.ru").is_file():
        return _rack(manifest)
    for name in _FILES:
        if (app / name).is_file():
            return Start((*(("bundle", "exec") if manifest.gemfile else ()), "ruby", name), name)
    if procfile.is_file():
        return None
    raise Refusal(
        f"no start command was found: no config.ru, {', '.join(_FILES)}",
        "add a config.ru and the gem puma, or a Procfile with a line such as: web: bundle exec ruby serve.rb",
    )


def _rack(manifest: Manifest) -> Start:
    if manifest.has("puma"):
        # -p goes before what config/puma.rb says
        return Start(_shell('bundle exec puma -p "${PORT:-8080}"'), "config.ru, puma")
    if manifest.has("falcon"):
        return Start(
            _shell('bundle exec falcon serve -b "http://0.0.0.0:${PORT:-8080}"'), "config.ru, falcon"
        )
    if manifest.has("unicorn"):
        return Start(_shell('bundle exec unicorn -p "${PORT:-8080}"'), "config.ru, unicorn")
    raise Refusal(
        "there is a config.ru, but no server for it in Gemfile.lock",
        "run `bundle add puma` and commit Gemfile and Gemfile.lock",
    )


def _shell(command: str) -> tuple[str, ...]:
    return ("bash", "-c", f"exec {command}")
