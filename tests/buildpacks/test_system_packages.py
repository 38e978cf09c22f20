"""What an Aptfile may say, and what is said of one that says something else."""

import pytest

from gitreceive.buildpacks.system_packages import (
    MOST_PACKAGES,
    SystemPackage,
    hint_of_crash,
    of_aptfile,
    of_names,
    of_project,
    of_project_file,
    together,
)
from gitreceive.errors import SourceError


def names(content: bytes) -> list[str]:
    return [str(package) for package in of_aptfile(content)]


def test_one_package_a_line_with_comments_and_empty_lines() -> None:
    content = b"# for psycopg\nlibpq5\n\n  imagemagick  # thumbnails\r\nlibstdc++6\n#ffmpeg\nlibc6\n"

    assert names(content) == ["imagemagick", "libc6", "libpq5", "libstdc++6"]


def test_a_version_can_be_asked_for() -> None:
    assert names(b"libssl3=1:3.0.11-1~deb12u2+b1\n") == ["libssl3=1:3.0.11-1~deb12u2+b1"]


def test_the_set_is_the_same_whatever_the_order_and_the_comments() -> None:
    one, other = of_aptfile(b"tree\nfiglet\n"), of_aptfile(b"# all\nfiglet # big letters\ntree\ntree\n")

    assert one == other
    assert hash(one) == hash(other)


def test_an_empty_file_asks_for_nothing() -> None:
    assert of_aptfile(b"") == of_aptfile(b"# nothing yet\n") == ()


def test_each_package_knows_its_line() -> None:
    assert [package.where for package in of_aptfile(b"# a\ntree\nfiglet\n")] == [
        "Aptfile line 3",
        "Aptfile line 2",
    ]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("LibPQ5", "lower-case"),
        ("x", "lower-case"),
        ("libpq5:i386", "architecture"),
        ("libc6-", "NAME=VERSION"),
        ("tree=", "NAME=VERSION"),
        ("tree=latest", "NAME=VERSION"),
        ("tree=1 figlet", "one package a line"),
        ("tree figlet", "one package a line"),
        ("-o Dpkg::Pre-Invoke::=x", "options"),
        ("--allow-unauthenticated", "options"),
        ("tree/sid", "indexes"),
        ("https://files.example/a.deb", "indexes"),
        ("./a.deb", "indexes"),
        (":repo:deb https://packages.example/ stable main", "indexes"),
        (":repo:somewhere", "repositories"),
        ("tree;reboot", "NAME=VERSION"),
        ("$(reboot)", "NAME=VERSION"),
        ("lib*", "NAME=VERSION"),
        ("^lib", "NAME=VERSION"),
        ("lïbpq5", "NAME=VERSION"),
    ],
)
def test_what_is_no_package_is_refused_with_its_line(line: str, hint: str) -> None:
    with pytest.raises(SourceError) as caught:
        of_aptfile(f"tree\n{line}\n".encode())

    assert caught.value.message.startswith("Aptfile line 2: ")
    assert hint in caught.value.hint


def test_a_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(SourceError, match=r"Aptfile is not UTF-8: .* at byte 5"):
        of_aptfile(b"tree\n\xff\xfe")


def test_a_package_in_two_versions_is_refused_with_both_lines() -> None:
    with pytest.raises(SourceError) as caught:
        of_aptfile(b"tree\nfiglet\ntree=2.1.0-1\n")

    assert caught.value.message == "Aptfile line 3: tree=2.1.0-1 is asked for as tree before (Aptfile line 1)"


def test_too_many_packages_are_refused() -> None:
    lines = "".join(f"lib{number}\n" for number in range(MOST_PACKAGES + 1))

    with pytest.raises(SourceError, match=f"{MOST_PACKAGES + 1} system packages; at most {MOST_PACKAGES}"):
        of_aptfile(lines.encode())
    assert len(of_aptfile(lines.partition("\n")[2].encode())) == MOST_PACKAGES


def test_project_toml_lists_packages_in_a_table_of_ours() -> None:
    content = b'[_]\nschema-version = "0.2"\n[com.gitreceive.system]\npackages = ["tree", "libpq5=15.1"]\n'

    assert [str(package) for package in of_project_file(content)] == ["libpq5=15.1", "tree"]
    assert of_project_file(b'[_]\nschema-version = "0.2"\n[com.heroku]\nx = 1\n') == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"com": {"gitreceive": {"system": {"packages": "tree"}}}}, "not a list of strings"),
        ({"com": {"gitreceive": {"system": {"packages": [1]}}}}, "not a list of strings"),
        ({"com": {"gitreceive": {"system": {"package": ["tree"]}}}}, "unknown key 'package'"),
        ({"com": {"gitreceive": {"system": []}}}, "is not a table"),
        ({"com": {"gitreceive": 1}}, "is not a table"),
        ({"com": {"gitreceive": {"system": {"packages": ["-y"]}}}}, "packages: '-y' is not a Debian package"),
    ],
)
def test_a_malformed_table_is_refused_by_its_name(document: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        of_project(document)

    assert caught.value.message.startswith("project.toml [com.gitreceive.system]")
    assert message in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_no_toml_is_refused() -> None:
    with pytest.raises(SourceError, match=r"project\.toml cannot be read"):
        of_project_file(b"[com")


def test_both_files_are_taken_together() -> None:
    of_one, of_other = (
        of_aptfile(b"tree\nfiglet\n"),
        of_project_file(b"com.gitreceive.system.packages = ['tree', 'jq']"),
    )

    assert together((*of_one, *of_other)) == (
        SystemPackage("figlet"),
        SystemPackage("jq"),
        SystemPackage("tree"),
    )


def test_a_set_is_read_back_from_its_names() -> None:
    packages = of_aptfile(b"tree=2.1.0-1\nfiglet\n")

    assert of_names(map(str, packages)) == packages
    assert of_names(()) == ()
    with pytest.raises(SourceError, match="the app's system packages: '-y'"):
        of_names(["-y"])


@pytest.mark.parametrize(
    "line",
    [
        b"ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        b"app: error while loading shared libraries: libGL.so.1: cannot open shared object file: No such file",
    ],
)
def test_a_process_that_ends_for_want_of_a_library_gets_a_hint(line: bytes) -> None:
    hint = hint_of_crash(b"Traceback\n  \xff\n" + line + b"\nbye\n")

    assert hint.startswith("libGL.so.1 is a system library")
    assert "Aptfile" in hint
    assert hint_of_crash(b"ImportError: no module named libGL\n") == ""
