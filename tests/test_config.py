from pathlib import Path

import pytest

from gitreceive import config
from gitreceive.errors import ConfigError


def test_defaults_work_without_any_file(tmp_path: Path) -> None:
    settings = config.load({"GITRECEIVE_DATA_DIR": str(tmp_path)})
    assert settings.data_dir == tmp_path
    assert settings.target == "docker"
    assert settings.build.concurrency == 2


def test_the_environment_beats_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    file = tmp_path / "gitreceive.toml"
    file.write_text(
        'registry = "r.example:5000/apps"\n[build]\nmemory = "4g"\n[build.env]\nPIP_INDEX_URL = "x"\n'
    )
    settings = config.load({"GITRECEIVE_CONFIG": str(file), "GITRECEIVE_BUILD_MEMORY": "1g"})
    assert settings.registry == "r.example:5000/apps"
    assert settings.build.memory == "1g"
    assert settings.build.env == {"PIP_INDEX_URL": "x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1\n", "unknown key 'colour'"),
        ("[build]\nmemry = '1g'\n", "unknown key 'memry'"),
        ("build = 1\n", "build must be a table"),
        ("[build]\ntimeout = 'soon'\n", "a number is expected"),
        ("[build]\ntimeout = 0\n", "above 0"),
        ("[build]\nenv = ['a']\n", "a table of strings"),
        ("target = 'nomad'\n", "target is 'nomad'"),
        ("ssh_listen = '2222'\n", "ssh_listen"),
        ("registry_insecure = 'yes'\n", "true or false"),
        ("[policy]\nbranch = 'a b'\n", "branch"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gitreceive.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load({"GITRECEIVE_CONFIG": str(file)})
    assert said in caught.value.message
    assert str(file) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITRECEIVE_TARGET", "x"),
        ("GITRECEIVE_SSH_LISTEN", "x:y"),
        ("GITRECEIVE_BUILD_ENV", "A"),
        ("GITRECEIVE_BUILD_PIDS", "-1"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        config.load({name: value})


def test_a_config_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GITRECEIVE_CONFIG"):
        config.load({"GITRECEIVE_CONFIG": str(tmp_path / "none.toml")})


def test_an_ipv6_address_is_listened_on_in_brackets() -> None:
    assert config.parse_listen("[::1]:2222") == ("::1", 2222)


def test_every_setting_stands_in_the_reference() -> None:
    page = config.reference()
    for variable in ("GITRECEIVE_DATA_DIR", "GITRECEIVE_BUILD_CA_BUNDLE", "GITRECEIVE_KUBERNETES_EXPOSE"):
        assert f"`{variable}`" in page
