import hashlib
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from javapack import archives, cnb, detection, placing, project, runtime, settings, tools, truststore

from gitreceive.lifecycle import folder


def _write(app: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(content)
    return app


def _jar(path: Path, manifest: str = "Main-Class: shop.Main\n", **files: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\n{manifest}\nName: other/\nMain-Class: no\n"
        )
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def _context(tmp_path: Path, **env: str) -> cnb.Context:
    for name in ("app", "layers", "platform"):
        (tmp_path / name).mkdir(exist_ok=True)
    return cnb.Context(tmp_path / "app", tmp_path / "layers", tmp_path / "platform", tmp_path, env)


def _pom(inner: str) -> str:
    return f'<project xmlns="http://maven.apache.org/POM/4.0.0">{inner}</project>'


# which Java


@pytest.mark.parametrize(
    ("name", "text", "major"),
    [
        ("system.properties", "# heroku\njava.runtime.version = 17.0.9\n", 17),
        ("system.properties", "java.runtime.version=1.8\n", 8),
        (".java-version", "temurin-21.0.1+12\n", 21),
        (".java-version", "openjdk64-17.0.2\n", 17),
        (".java-version", "1.8.0_392\n", 8),
        (".sdkmanrc", "# Enable auto-env\njava=17.0.9-tem\n", 17),
    ],
)
def test_a_version_file_chooses_that_very_java(tmp_path: Path, name: str, text: str, major: int) -> None:
    found = project.read_project(_write(tmp_path, {"pom.xml": _pom(""), name: text}))
    assert found.wish == project.Wish(major, exact=True, source=name)


def test_a_version_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="'latest' is not understood"):
        project.read_project(_write(tmp_path, {"pom.xml": _pom(""), ".java-version": "latest\n"}))


@pytest.mark.parametrize(
    ("inner", "major"),
    [
        ("<properties><maven.compiler.release>17</maven.compiler.release></properties>", 17),
        ("<properties><java.version>1.8</java.version></properties>", 8),
        (
            """<properties><v>21</v></properties><build><pluginManagement><plugins><plugin>
            <artifactId>maven-compiler-plugin</artifactId><configuration><release>${v}</release></configuration>
            </plugin></plugins></pluginManagement></build>""",
            21,
        ),
        ("<!-- nothing --><properties/>", 0),
    ],
)
def test_a_pom_says_the_least_that_will_do(tmp_path: Path, inner: str, major: int) -> None:
    wish = project.read_project(_write(tmp_path, {"pom.xml": _pom(inner)})).wish
    assert (wish.major, wish.exact) == (major, False)


def test_a_pom_that_is_no_xml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match=r"pom\.xml is no XML"):
        project.read_project(_write(tmp_path, {"pom.xml": "<project>"}))


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("java { toolchain { languageVersion = JavaLanguageVersion.of(21) } }", (21, True)),
        ("kotlin { jvmToolchain(17) }", (17, True)),
        ("sourceCompatibility = JavaVersion.VERSION_1_8", (8, False)),
        ("sourceCompatibility = '17'", (17, False)),
        ("targetCompatibility = 11", (11, False)),
        ("plugins { id 'java' }", (0, False)),
    ],
)
def test_gradle_says_which_java(tmp_path: Path, text: str, wish: tuple[int, bool]) -> None:
    found = project.read_project(_write(tmp_path, {"build.gradle": text})).wish
    assert (found.major, found.exact) == wish


def test_the_java_next_to_the_one_asked_for_is_chosen_where_a_newer_one_will_do() -> None:
    offered = {17: "17.0.15", 21: "21.0.7", 25: "25.0.1"}
    assert runtime.choose(offered, project.Wish()) == 25
    assert runtime.choose(offered, project.Wish(17, exact=True)) == 17
    assert runtime.choose(offered, project.Wish(11)) == 17
    assert runtime.choose(offered, project.Wish(18)) == 21


def test_a_java_that_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(cnb.Refusal, match=r"asks for Java 21, and the package archive has 17") as refused:
        runtime.choose({17: "17.0.15"}, project.Wish(21, source="pom.xml"))
    assert "ask for 17" in refused.value.hint
    with pytest.raises(cnb.Refusal, match="no Java"):
        runtime.choose({}, project.Wish())


# which app


def test_detection_tells_what_was_looked_for_and_points_at_a_misspelling(tmp_path: Path) -> None:
    assert detection.decide(tmp_path).reason.startswith("no pom.xml, build.gradle")
    assert "pon.xml: is it misspelt" in detection.decide(_write(tmp_path, {"pon.xml": ""})).reason
    found = detection.decide(_write(tmp_path, {"pom.xml": "", "settings.gradle.kts": ""}))
    assert (found.passed, found.reason) == (True, "pom.xml, settings.gradle.kts")


def test_a_jar_with_a_main_class_is_an_app_where_there_is_nothing_else_to_serve(tmp_path: Path) -> None:
    _jar(tmp_path / "library.jar", manifest="")
    _jar(tmp_path / "shop-sources.jar")
    (tmp_path / "broken.jar").write_text("no zip")
    assert not detection.decide(tmp_path).passed
    _jar(tmp_path / "target/shop.jar")
    assert detection.decide(tmp_path).reason == "target/shop.jar with a Main-Class"
    assert project.read_project(tmp_path).tool == "jar"
    left = detection.decide(_write(tmp_path, {"package.json": "{}"}))
    assert (left.passed, left.reason) == (
        False,
        "target/shop.jar could be started, but there is package.json",
    )


def test_maven_builds_where_there_is_both(tmp_path: Path) -> None:
    app = _write(tmp_path, {"pom.xml": _pom(""), "build.gradle": "", "mvnw": "", "gradlew": ""})
    found = project.read_project(app)
    assert (found.tool, found.wrapper, found.in_place) == ("maven", True, False)


def test_a_source_that_is_no_java_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="no jar with a Main-Class"):
        project.read_project(tmp_path)


@pytest.mark.parametrize(
    ("procfile", "names_web", "in_place"),
    [
        ("web: java -jar target/shop.jar\n", True, True),
        ("web: ./start\n", True, True),
        ("worker: java -cp build/libs/shop.jar shop.Worker\n", False, True),
        ("release: ./migrate\n", False, False),
    ],
)
def test_what_a_procfile_may_name_stays_where_it_was_built(
    tmp_path: Path, procfile: str, names_web: bool, in_place: bool
) -> None:
    found = project.read_project(_write(tmp_path, {"pom.xml": _pom(""), "Procfile": procfile}))
    assert (found.names_web, found.in_place) == (names_web, in_place)


# jars


def test_the_main_section_of_a_manifest_is_read_with_its_continued_lines(tmp_path: Path) -> None:
    said = (
        "Main-Class: shop.a.very.long.pack\n age.Main\nClass-Path: lib/a.jar lib/b.\n jar\nStart-Class: x\n"
    )
    found = archives.read_manifest(_jar(tmp_path / "a.jar", said))
    assert found.main_class == "shop.a.very.long.package.Main"
    assert found.class_path == ("lib/a.jar", "lib/b.jar")
    assert not found.is_boot


def test_one_program_is_found_among_what_a_build_leaves(tmp_path: Path) -> None:
    for name in ("shop.jar", "shop-sources.jar", "original-shop.jar", "shop-plain.jar"):
        _jar(tmp_path / "target" / name)
    _jar(tmp_path / "library/target/library.jar", manifest="")
    assert placing.find_program(tmp_path, "maven") == tmp_path / "target/shop.jar"
    _jar(tmp_path / "target/shop-jar-with-dependencies.jar")
    assert placing.find_program(tmp_path, "maven").name == "shop-jar-with-dependencies.jar"


def test_a_distribution_is_started_by_its_script(tmp_path: Path) -> None:
    _write(tmp_path, {"build/install/shop/bin/shop": "", "build/install/shop/bin/shop.bat": ""})
    _jar(tmp_path / "build/libs/shop.jar")
    assert placing.find_program(tmp_path, "gradle").name == "shop"
    _jar(tmp_path / "build/libs/boot.jar", "Main-Class: loader\nStart-Class: shop.Main\n")
    assert placing.find_program(tmp_path, "gradle").name == "boot.jar"


def test_no_program_and_more_than_one_are_refused_with_a_remedy(tmp_path: Path) -> None:
    for tool, words in (("maven", "maven-jar-plugin"), ("gradle", "Main-Class"), ("jar", "Main-Class")):
        with pytest.raises(cnb.Refusal, match="no jar with a Main-Class") as none:
            placing.find_program(tmp_path, tool)
        assert words in none.value.hint
    for name in ("api", "web"):
        _jar(tmp_path / name / "target" / f"{name}.jar")
    with pytest.raises(
        cnb.Refusal, match=r"which is the program\? api/target/api.jar, web/target/web.jar"
    ) as two:
        placing.find_program(tmp_path, "maven")
    assert "web: java $JAVA_OPTS -jar api/target/api.jar" in two.value.hint


def test_a_jar_in_the_app_is_started_from_there(tmp_path: Path) -> None:
    start = placing.start_in_place(tmp_path, _jar(tmp_path / "my shop.jar"))
    assert start.command == ("bash", "-c", "exec java $JAVA_OPTS -jar 'my shop.jar'")


def test_jars_that_a_jar_names_go_into_a_layer_that_stays(tmp_path: Path) -> None:
    context = _context(tmp_path)
    built = tmp_path / "built"
    _jar(tmp_path / "secret.jar")
    named = "Main-Class: shop.Main\nClass-Path: lib/a.jar gone.jar ../secret.jar\n"
    program = _jar(built / "target/shop.jar", named)
    _jar(built / "target/lib/a.jar", manifest="")
    start = placing.place(context, built, program)
    there = context.layers / "application"
    assert start.command[-1] == f"exec java $JAVA_OPTS -jar {there}/shop.jar"
    assert (there / "lib/a.jar").readlink() == context.layers / "libraries/lib/a.jar"
    assert (context.layers / "libraries/lib/a.jar").is_file()
    assert not list(context.layers.rglob("secret.jar"))
    before = (context.layers / "libraries/lib/a.jar").stat()
    placing.place(context, built, program)
    assert (context.layers / "libraries/lib/a.jar").stat() == before
    _jar(built / "target/lib/a.jar", manifest="Changed: yes\n")
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
    context = _context(tmp_path)
    files = {
        "BOOT-INF__classes__shop__Main.class": "",
        "BOOT-INF__lib__z.jar": "z",
        "BOOT-INF__lib__a.jar": "a",
        "BOOT-INF__lib__unlisted.jar": "u",
        "BOOT-INF__classpath.idx": '- "BOOT-INF/lib/z.jar"\n- "BOOT-INF/lib/a.jar"\n- "BOOT-INF/lib/gone.jar"\n',
        "org__springframework__boot__loader__launch__JarLauncher.class": "",
    }
    start = placing.place(context, tmp_path, _jar(tmp_path / "target/shop.jar", _BOOT, **files))
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
    program = _jar(tmp_path / "target/shop.jar", f"{_BOOT}Add-Opens: java.base/java.lang\n")
    start = placing.place(_context(tmp_path), tmp_path, program)
    assert start.command[-1].endswith("$JAVA_OPTS -jar " + str(tmp_path / "layers/application/shop.jar"))
    assert "-Dserver.port" in start.command[-1]


def test_of_a_distribution_the_apps_own_jars_are_apart_from_libraries(tmp_path: Path) -> None:
    context = _context(tmp_path)
    program = _write(tmp_path, {"build/install/shop/bin/shop": "#!/bin/sh\n"}) / "build/install/shop/bin/shop"
    for name in ("build/libs/shop.jar", "build/install/shop/lib/shop.jar", "build/install/shop/lib/a.jar"):
        _jar(tmp_path / name, manifest="")
    start = placing.place(context, tmp_path, program)
    assert start.command == ("bash", "-c", f"exec {context.layers}/application/bin/shop")
    assert (context.layers / "application/lib/a.jar").is_symlink()
    assert not (context.layers / "application/lib/shop.jar").is_symlink()


# Java's own folder


def test_links_of_unpacked_packages_lead_to_where_they_were_unpacked(tmp_path: Path) -> None:
    home = tmp_path / "usr/lib/jvm/java-17-openjdk-amd64"
    _write(tmp_path, {"etc/java-17-openjdk/net.properties": "x", str(home / "bin/java"): ""})
    _write(tmp_path, {"etc/fonts/fonts.conf": "<dir>/usr/share/fonts</dir>"})
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


# Maven and Gradle


def test_the_mirror_takes_the_place_of_every_remote_repository() -> None:
    text = settings.render_settings("https://mirror.example/maven?a&b", {})
    assert "<mirrorOf>external:*</mirrorOf><url>https://mirror.example/maven?a&amp;b</url>" in text
    assert settings.render_settings("", {}) == ""


def test_a_proxy_is_told_to_maven_and_to_java_in_their_words() -> None:
    env = {"https_proxy": "http://me:word@proxy.example:3128", "NO_PROXY": "localhost,.corp.example"}
    text = settings.render_settings("", env)
    for part in (
        "<protocol>https</protocol>",
        "<host>proxy.example</host><port>3128</port><username>me</username><password>word</password>",
        "<nonProxyHosts>localhost|*.corp.example</nonProxyHosts>",
        "<mirrorOf>external:http:*</mirrorOf>",
    ):
        assert part in text
    assert settings.java_options(env) == [
        "-Dhttps.proxyHost=proxy.example",
        "-Dhttps.proxyPort=3128",
        "-Dhttp.nonProxyHosts=localhost|*.corp.example",
    ]
    assert settings.java_options({}) == []


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("plugins { id 'java'\n id 'application' }", "installDist"),
        ("plugins {\n    java\n    application\n}", "installDist"),
        ("apply plugin: 'application'", "installDist"),
        ("plugins { id 'org.springframework.boot' version '3.3.0'\n id 'application' }", "assemble"),
        ("plugins { id 'com.gradleup.shadow' version '8.3.0'\n id 'application' }", "assemble"),
        ("plugins { id 'java' }\ndescription = 'an application of ours'", "assemble"),
        ("tasks.register('stage') { dependsOn 'installDist' }", "stage"),
        ("task stage(dependsOn: 'installDist')", "stage"),
    ],
)
def test_the_task_follows_from_the_plugins(tmp_path: Path, text: str, task: str) -> None:
    assert tools.choose_task(_write(tmp_path, {"build.gradle": text})) == task
    (tmp_path / "build.gradle").unlink()
    assert tools.choose_task(_write(tmp_path, {"server/build.gradle.kts": text})) == task


def _run(tmp_path: Path, tool: str, files: dict[str, str], **env: str) -> cnb.Context:
    """A wrapper that writes down how it was called, in place of a tool."""
    script = 'for word in "$@"; do echo "$word" >> called; done; env > environment; exit ${FAIL:-0}\n'
    context = _context(tmp_path, PATH="/usr/bin:/bin", **env)
    _write(context.app, {"mvnw" if tool == "maven" else "gradlew": script, **files})
    java = runtime.Java(context.layer("jre"), None, "17.0.15", 17)
    (context.layers / "jre/usr/lib/jvm/java-17-openjdk-amd64").mkdir(parents=True, exist_ok=True)
    tools.check_tool(context, project.Project(tool, wrapper=True))
    tools.run_tool(context, project.Project(tool, wrapper=True), java, context.app)
    return context


_MVNW = {".mvn/wrapper/maven-wrapper.properties": ""}
_GRADLEW = {"gradle/wrapper/gradle-wrapper.properties": "", "gradle/wrapper/gradle-wrapper.jar": ""}


def test_maven_is_run_without_tests_and_keeps_its_repository_in_a_layer(tmp_path: Path) -> None:
    context = _run(tmp_path, "maven", _MVNW, MAVEN_MIRROR="https://mirror.example/")
    called = (context.app / "called").read_text().split()
    assert called[-2:] == ["-DskipTests", "package"]
    assert f"-Dmaven.repo.local={context.layers}/downloads/repository" in called
    assert "-gs" in called
    environment = (context.app / "environment").read_text().splitlines()
    assert "MVNW_REPOURL=https://mirror.example" in environment
    assert f"JAVA_HOME={context.layers}/jre/usr/lib/jvm/java-17-openjdk-amd64" in environment
    assert context.layer("downloads").metadata()["mirror"] == "https://mirror.example/"


def test_maven_follows_the_apps_own_words(tmp_path: Path) -> None:
    files = {".mvn/maven.config": "-o\n-Dmaven.repo.local=.mvn/repository\n", "settings.xml": "<settings/>"}
    context = _run(
        tmp_path, "maven", {**_MVNW, **files}, MAVEN_CUSTOM_GOALS="clean install", MAVEN_CUSTOM_OPTS="-Pfast"
    )
    called = (context.app / "called").read_text().split()
    assert not [word for word in called if "maven.repo.local" in word]
    assert called[called.index("-s") + 1] == str(context.app / "settings.xml")
    assert called[-3:] == ["-Pfast", "clean", "install"]


def test_a_build_secret_comes_before_the_settings_in_the_app(tmp_path: Path) -> None:
    (tmp_path / "platform/secrets").mkdir(parents=True)
    secret = tmp_path / "platform/secrets/maven-settings.xml"
    secret.write_text("<settings/>")
    context = _run(tmp_path, "maven", {**_MVNW, "settings.xml": "<settings/>"})
    assert str(secret) in (context.app / "called").read_text().split()


def test_settings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match=r"MAVEN_SETTINGS_PATH names ci/settings\.xml"):
        _run(tmp_path, "maven", _MVNW, MAVEN_SETTINGS_PATH="ci/settings.xml")


def test_gradle_is_run_by_its_wrapper_whether_or_not_it_is_executable(tmp_path: Path) -> None:
    context = _run(tmp_path, "gradle", _GRADLEW, GRADLE_TASK="shadowJar -x lint", GRADLE_OPTS="-Xmx1g")
    called = (context.app / "called").read_text().split()
    assert called == ["--no-daemon", "--console=plain", "shadowJar", "-x", "lint"]
    environment = (context.app / "environment").read_text().splitlines()
    assert f"GRADLE_USER_HOME={context.layers}/downloads" in environment
    assert "GRADLE_OPTS=-Xmx1g" in environment


@pytest.mark.parametrize(
    ("tool", "files", "words", "remedy"),
    [
        ("maven", {}, "no .mvn/wrapper/maven-wrapper.properties", "mvn wrapper:wrapper"),
        (
            "gradle",
            {"gradle/wrapper/gradle-wrapper.properties": ""},
            "no gradle/wrapper/gradle-wrapper.jar",
            "--force",
        ),
        ("gradle", {**_GRADLEW, "gradlew": "#!/bin/sh\r\n"}, "Windows line ends", "eol=lf"),
    ],
)
def test_a_wrapper_that_cannot_work_is_refused(
    tmp_path: Path, tool: str, files: dict[str, str], words: str, remedy: str
) -> None:
    with pytest.raises(cnb.Refusal, match=words) as refused:
        _run(tmp_path, tool, files)
    assert remedy in refused.value.hint


def test_gradle_without_wrapper_is_refused_where_the_stack_has_none(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="no gradlew") as refused:
        tools.check_tool(_context(tmp_path, PATH=str(tmp_path)), project.Project("gradle"))
    assert "gradle wrapper" in refused.value.hint


def test_downloads_are_kept_until_the_mirror_changes_or_they_are_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = _run(tmp_path, "maven", _MVNW)
    kept = context.layers / "downloads/kept"
    kept.touch()
    _run(tmp_path, "maven", _MVNW)
    assert kept.exists()
    _run(tmp_path, "maven", _MVNW, MAVEN_MIRROR="https://mirror.example")
    assert not kept.exists()
    assert "Emptying the cache of downloads: the mirror changed" in capsys.readouterr().out
    kept.touch()
    layer = context.layer("downloads")
    layer.save("cache", metadata={**layer.metadata(), "since": 1})
    _run(tmp_path, "maven", _MVNW, MAVEN_MIRROR="https://mirror.example")
    assert not kept.exists()
    assert "three months old" in capsys.readouterr().out


def test_a_failed_tool_is_a_failed_build(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="Maven could not build the app"):
        _run(tmp_path, "maven", _MVNW, FAIL="1")


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            ["[ERROR] COMPILATION ERROR :", "[ERROR] src/Shop.java:[1,24] illegal start of expression"],
            "src/Shop.java:[1,24] illegal start of expression",
        ),
        (["src/Shop.java:3: error: ';' expected"], "src/Shop.java:3: error: ';' expected"),
        (["e: file:///src/Shop.kt:3:1 Unresolved reference"], "src/Shop.kt:3:1 Unresolved reference"),
        (
            [
                "[ERROR] Failed to execute goal a.b:c:1:jar (default-jar) on project shop: no such file -> [Help 1]"
            ],
            "no such file",
        ),
        (
            [
                "[ERROR] Plugin a:b:2.6 or one of its dependencies could not be resolved: Unknown host x -> [Help 1]"
            ],
            "Unknown host x",
        ),
        (
            ["FAILURE: Build failed", "", "* What went wrong:", "Task 'stage' not found."],
            "Task 'stage' not found.",
        ),
        (["nothing that is known"], ""),
    ],
)
def test_the_error_says_why_the_tool_failed(lines: list[str], cause: str) -> None:
    assert tools.find_cause(lines) == cause


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[ERROR] Fatal error compiling: error: release version 21 not supported", "system.properties"),
        (
            "org/a/B has been compiled by a more recent version of the Java Runtime (class file 65)",
            "newer Java",
        ),
        ("General error: Unsupported class file major version 61", "gradle-version"),
        ("No matching toolchains found for requested specification", "toolchain"),
        ("[ERROR] COMPILATION ERROR : ", "compiler's words"),
        ("sun.security.validator.ValidatorException: PKIX path building failed", "build.ca_bundle"),
        (
            "Could not transfer artifact a:b from/to x (https://x): status code: 401, reason phrase:",
            "maven-settings.xml",
        ),
        ("Received status code 403 from server: Forbidden", "init.gradle"),
        ("transfer failed for https://x/y.pom: Unknown host x", "MAVEN_MIRROR"),
        ("in offline mode and the artifact a:b:pom:1 has not been downloaded from it", "a:b:pom:1 is not in"),
        ("Could not find artifact shop:nosuch:jar:1 in central", "in no repository"),
        ("  > Could not find shop:nosuch:1.", "in no repository"),
        ("Error: Could not find or load main class org.gradle.wrapper.GradleWrapperMain", "wrapper's jar"),
        ("Task 'stage' not found in root project 'shop'.", "no task stage"),
        ("Non-resolvable parent POM for shop:shop:1", "mvn validate"),
        ("java.lang.OutOfMemoryError: Java heap space", "build.memory"),
    ],
)
def test_a_known_failure_has_one_hint(line: str, words: str) -> None:
    described = folder.read_buildpack(Path(__file__).parents[2] / "buildpacks/java/buildpack.toml")
    hints = [text for hint in described.hints if (text := hint.of(f"before\n{line}\nafter"))]
    assert len(hints) == 1
    assert words in hints[0]
