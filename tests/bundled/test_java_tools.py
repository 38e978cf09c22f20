"""The Java buildpack and the tools that it runs: Maven and Gradle."""

from pathlib import Path

import pytest
from javapack import cnb, project, runtime, settings, tools

from gitreceive.lifecycle import folder
from tests.bundled.java_apps import context_of, write


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
    assert tools.choose_task(write(tmp_path, {"build.gradle": text})) == task
    (tmp_path / "build.gradle").unlink()
    assert tools.choose_task(write(tmp_path, {"server/build.gradle.kts": text})) == task


def _run(tmp_path: Path, tool: str, files: dict[str, str], **env: str) -> cnb.Context:
    """A wrapper that writes down how it was called, in place of a tool."""
    script = 'for word in "$@"; do echo "$word" >> called; done; env > environment; exit ${FAIL:-0}\n'
    context = context_of(tmp_path, PATH="/usr/bin:/bin", **env)
    write(context.app, {"mvnw" if tool == "maven" else "gradlew": script, **files})
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
        tools.check_tool(context_of(tmp_path, PATH=str(tmp_path)), project.Project("gradle"))
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
