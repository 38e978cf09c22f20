"""Java apps on disk, as the tests of the Java buildpack want them."""

import zipfile
from pathlib import Path

from javapack import cnb


def write(app: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(content)
    return app


def jar(path: Path, manifest: str = "Main-Class: shop.Main\n", **files: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\n{manifest}\nName: other/\nMain-Class: no\n"
        )
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def context_of(tmp_path: Path, **env: str) -> cnb.Context:
    for name in ("app", "layers", "platform"):
        (tmp_path / name).mkdir(exist_ok=True)
    return cnb.Context(tmp_path / "app", tmp_path / "layers", tmp_path / "platform", tmp_path, env)


def pom(inner: str) -> str:
    return f'<project xmlns="http://maven.apache.org/POM/4.0.0">{inner}</project>'
