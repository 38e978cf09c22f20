"""The Java buildpack: which Java, which app."""

from pathlib import Path

import pytest
from javapack import cnb, detection, project, runtime

from tests.bundled.java_apps import jar, pom, write


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
    found = project.read_project(write(tmp_path, {"pom.xml": pom(""), name: text}))
    assert found.wish == project.Wish(major, exact=True, source=name)


def test_a_version_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="'latest' is not understood"):
        project.read_project(write(tmp_path, {"pom.xml": pom(""), ".java-version": "latest\n"}))


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
    wish = project.read_project(write(tmp_path, {"pom.xml": pom(inner)})).wish
    assert (wish.major, wish.exact) == (major, False)


def test_a_pom_that_is_no_xml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match=r"pom\.xml is no XML"):
        project.read_project(write(tmp_path, {"pom.xml": "<project>"}))


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
    found = project.read_project(write(tmp_path, {"build.gradle": text})).wish
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


def test_detection_tells_what_was_looked_for_and_points_at_a_misspelling(tmp_path: Path) -> None:
    assert detection.decide(tmp_path).reason.startswith("no pom.xml, build.gradle")
    assert "pon.xml: is it misspelt" in detection.decide(write(tmp_path, {"pon.xml": ""})).reason
    found = detection.decide(write(tmp_path, {"pom.xml": "", "settings.gradle.kts": ""}))
    assert (found.passed, found.reason) == (True, "pom.xml, settings.gradle.kts")


def test_a_jar_with_a_main_class_is_an_app_where_there_is_nothing_else_to_serve(tmp_path: Path) -> None:
    jar(tmp_path / "library.jar", manifest="")
    jar(tmp_path / "shop-sources.jar")
    (tmp_path / "broken.jar").write_text("no zip")
    assert not detection.decide(tmp_path).passed
    jar(tmp_path / "target/shop.jar")
    assert detection.decide(tmp_path).reason == "target/shop.jar with a Main-Class"
    assert project.read_project(tmp_path).tool == "jar"
    left = detection.decide(write(tmp_path, {"package.json": "{}"}))
    assert (left.passed, left.reason) == (
        False,
        "target/shop.jar could be started, but there is package.json",
    )


def test_maven_builds_where_there_is_both(tmp_path: Path) -> None:
    app = write(tmp_path, {"pom.xml": pom(""), "build.gradle": "", "mvnw": "", "gradlew": ""})
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
    found = project.read_project(write(tmp_path, {"pom.xml": pom(""), "Procfile": procfile}))
    assert (found.names_web, found.in_place) == (names_web, in_place)
