"""What the Java buildpack makes of jars and of Java's own folder."""

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from javapack import archives, cnb, placing, runtime, truststore

from tests.bundled.java_apps import context_of, jar, write


def test_the_main_section_of_a_manifest_is_read_with_its_continued_lines(tmp_path: Path) -> None:
    said = (
        "Main-Class: shop.a.very.long.pack\n age.Main\nClass-Path: lib/a.jar lib/b.\n jar\nStart-Class: x\n"
    )
    found = archives.read_manifest(jar(tmp_path / "a.jar", said))
    assert found.main_class == "shop.a.very.long.package.Main"
    assert found.class_path == ("lib/a.jar", "lib/b.jar")
    assert not found.is_boot


def test_one_program_is_found_among_what_a_build_leaves(tmp_path: Path) -> None:
    for name in ("shop.jar", "shop-sources.jar", "original-shop.jar", "shop-plain.jar"):
        jar(tmp_path / "target" / name)
    jar(tmp_path / "library/target/library.jar", manifest="")
    assert placing.find_program(tmp_path, "maven") == tmp_path / "target/shop.jar"
    jar(tmp_path / "target/shop-jar-with-dependencies.jar")
    assert placing.find_program(tmp_path, "maven").name == "shop-jar-with-dependencies.jar"


def test_a_distribution_is_started_by_its_script(tmp_path: Path) -> None:
    write(tmp_path, {"build/install/shop/bin/shop": "", "build/install/shop/bin/shop.bat": ""})
    jar(tmp_path / "build/libs/shop.jar")
    assert placing.find_program(tmp_path, "gradle").name == "shop"
    jar(tmp_path / "build/libs/boot.jar", "Main-Class: loader\nStart-Class: shop.Main\n")
    assert placing.find_program(tmp_path, "gradle").name == "boot.jar"


def test_no_program_and_more_than_one_are_refused_with_a_remedy(tmp_path: Path) -> None:
    for tool, words in (("maven", "maven-jar-plugin"), ("gradle", "Main-Class"), ("jar", "Main-Class")):
        with pytest.raises(cnb.Refusal, match="no jar with a Main-Class") as none:
            placing.find_program(tmp_path, tool)
        assert words in none.value.hint
    for name in ("api", "web"):
        jar(tmp_path / name / "target" / f"{name}.jar")
    with pytest.raises(
        cnb.Refusal, match=r"which is the program\? api/target/api.jar, web/target/web.jar"
    ) as two:
        placing.find_program(tmp_path, "maven")
    assert "web: java $JAVA_OPTS -jar api/target/api.jar" in two.value.hint


def test_a_jar_in_the_app_is_started_from_there(tmp_path: Path) -> None:
    start = placing.start_in_place(tmp_path, jar(tmp_path / "my shop.jar"))
    assert start.command == ("bash", "-c", "exec java $JAVA_OPTS -jar 'my shop.jar'")


def test_jars_that_a_jar_names_go_into_a_layer_that_stays(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    built = tmp_path / "built"
    jar(tmp_path / "secret.jar")
    named = "Main-Class: shop.Main\nClass-Path: lib/a.jar gone.jar ../secret.jar\n"
    program = jar(built / "target/shop.jar", named)
    jar(built / "target/lib/a.jar", manifest="")
    start = placing.place(context, built, program)
    there = context.layers / "application"
    assert start.command[-1] == f"exec java $JAVA_OPTS -jar {there}/shop.jar"
    assert (there / "lib/a.jar").readlink() == context.layers / "libraries/lib/a.jar"
    assert (context.layers / "libraries/lib/a.jar").is_file()
    assert not list(context.layers.rglob("secret.jar"))
    before = (context.layers / "libraries/lib/a.jar").stat()
    placing.place(context, built, program)
    assert (context.layers / "libraries/lib/a.jar").stat() == before
    jar(built / "target/lib/a.jar", manifest="Changed: yes\n")
    placing.place(context, built, program)
    assert archives.read_manifest(there / "lib/a.jar") == archives.Manifest()
    assert (context.layers / "libraries/lib/a.jar").stat() != before


_BOOT = """\
Main-Class: org.springframework.boot.loader.launch.JarLauncher
Start-Class: shop.Main
Spring-Boot-Classes: BOOT-INF/classes/
Spring-Boot-Lib: BOOT-INF/lib/
Spring-Boot-Classpath-Index: BOOT-INF/classpath.idx
"""


def test_a_spring_boot_jar_is_taken_apart_and_keeps_its_class_path(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    files = {
        "BOOT-INF__classes__shop__Main.class": "",
        "BOOT-INF__lib__z.jar": "z",
        "BOOT-INF__lib__a.jar": "a",
        "BOOT-INF__lib__unlisted.jar": "u",
        "BOOT-INF__classpath.idx": '- "BOOT-INF/lib/z.jar"\n- "BOOT-INF/lib/a.jar"\n- "BOOT-INF/lib/gone.jar"\n',
        "org__springframework__boot__loader__launch__JarLauncher.class": "",
    }
    start = placing.place(context, tmp_path, jar(tmp_path / "target/shop.jar", _BOOT, **files))
    there = context.layers / "application"
    words = f'exec java -Dserver.port="${{PORT:-8080}}" $JAVA_OPTS @{there}/class-path shop.Main'
    assert start.command == ("bash", "-c", words)
    parts = ["classes", "lib/z.jar", "lib/a.jar", "lib/unlisted.jar"]
    assert (
        there / "class-path"
    ).read_text() == f'-cp "{":".join(f"{there}/BOOT-INF/{part}" for part in parts)}"\n'
    assert not (there / "org").exists()
    assert (there / "BOOT-INF/lib/z.jar").read_text() == "z"
    assert (there / "BOOT-INF/lib/z.jar").is_symlink()


def test_a_jar_that_asks_java_for_more_is_started_whole(tmp_path: Path) -> None:
    program = jar(tmp_path / "target/shop.jar", f"{_BOOT}Add-Opens: java.base/java.lang\n")
    start = placing.place(context_of(tmp_path), tmp_path, program)
    assert start.command[-1].endswith("$JAVA_OPTS -jar " + str(tmp_path / "layers/application/shop.jar"))
    assert "-Dserver.port" in start.command[-1]


def test_of_a_distribution_the_apps_own_jars_are_apart_from_libraries(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    program = write(tmp_path, {"build/install/shop/bin/shop": "#!/bin/sh\n"}) / "build/install/shop/bin/shop"
    for name in ("build/libs/shop.jar", "build/install/shop/lib/shop.jar", "build/install/shop/lib/a.jar"):
        jar(tmp_path / name, manifest="")
    start = placing.place(context, tmp_path, program)
    assert start.command == ("bash", "-c", f"exec {context.layers}/application/bin/shop")
    assert (context.layers / "application/lib/a.jar").is_symlink()
    assert not (context.layers / "application/lib/shop.jar").is_symlink()


def test_links_of_unpacked_packages_lead_to_where_they_were_unpacked(tmp_path: Path) -> None:
    home = tmp_path / "usr/lib/jvm/java-17-openjdk-amd64"
    write(tmp_path, {"etc/java-17-openjdk/net.properties": "x", str(home / "bin/java"): ""})
    write(tmp_path, {"etc/fonts/fonts.conf": "<dir>/usr/share/fonts</dir>"})
    (home / "conf").mkdir()
    (home / "conf/net.properties").symlink_to("/etc/java-17-openjdk/net.properties")
    (home / "conf/gone").symlink_to("/etc/ssl/certs/java/cacerts")
    runtime.set_up(tmp_path, 17)
    assert (home / "conf/net.properties").read_text() == "x"
    assert not (home / "conf/gone").is_symlink()
    assert (tmp_path / "bin/java").resolve() == home / "bin/java"
    assert (tmp_path / "etc/fonts/fonts.conf").read_text() == f"<dir>{tmp_path}/usr/share/fonts</dir>"
    assert runtime.find_home(tmp_path, 17) == home
    with pytest.raises(cnb.Refusal, match="openjdk-21"):
        runtime.find_home(tmp_path, 21)


_PEM = """\
# a comment
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUY2h2
-----END CERTIFICATE-----
"""


def test_a_truststore_has_each_certificate_once_and_a_seal() -> None:
    store = truststore.to_jks(_PEM * 2)
    magic, version, count, tag = struct.unpack(">IIII", store[:16])
    assert (magic, version, count, tag) == (0xFEEDFEED, 2, 1, 2)
    assert store == truststore.to_jks(_PEM)
    sealed = hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20])
    assert store[-20:] == sealed.digest()
    with pytest.raises(ValueError, match="no base64"):
        truststore.to_jks(_PEM.replace("MIIB", "M!IB"))


def test_a_bundle_that_cannot_be_read_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="the CA bundle cannot be read") as refused:
        runtime._trust(tmp_path, _PEM.replace("MIIB", "M!IB"))
    assert "build.ca_bundle" in refused.value.hint


@pytest.mark.skipif(not shutil.which("keytool"), reason="no Java on this machine")
def test_java_reads_the_truststore(tmp_path: Path) -> None:
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if not bundle.is_file():
        pytest.skip("no certificates on this machine")
    text = bundle.read_text()
    (tmp_path / "store").write_bytes(truststore.to_jks(text))
    command = ["keytool", "-list", "-keystore", str(tmp_path / "store"), "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert listed.count("trustedCertEntry") == len(set(text.split("-----BEGIN CERTIFICATE-----")[1:]))
