import pytest

from gitreceive.errors import UsageError
from gitreceive.model import AppName, CommitId, ImageRef, JobState, ProcessType, PushOptions, Secret, UserName


@pytest.mark.parametrize("name", ["a", "shop", "a-1", "0ad", "x" * 40])
def test_a_dns_label_of_at_most_40_characters_is_an_app_name(name: str) -> None:
    assert AppName.parse(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-app",
        "app-",
        ".app",
        "../x",
        "App",
        "app;id",
        "app$(id)",
        "app`id`",
        "app\n",
        "a b",
        "x" * 41,
        "ápp",
        "app/x",
        "٣",
    ],
)
def test_nothing_else_is_an_app_name(name: str) -> None:
    with pytest.raises(UsageError, match="is not an app name"):
        AppName.parse(name)


@pytest.mark.parametrize("name", ["", "Alice", "-a", "1a", "a\n", "a" * 40, "a b", "a/b", "a:b"])
def test_user_names_are_as_strict(name: str) -> None:
    with pytest.raises(UsageError):
        UserName.parse(name)


@pytest.mark.parametrize("text", ["", "HEAD", "a" * 39, "A" * 40, "a" * 40 + "\n", "--exec=x"])
def test_only_a_full_object_id_is_a_commit(text: str) -> None:
    with pytest.raises(UsageError):
        CommitId.parse(text)


def test_an_image_is_always_by_digest() -> None:
    text = "127.0.0.1:5000/shop@sha256:" + "a" * 64
    assert str(ImageRef.parse(text)) == text
    with pytest.raises(UsageError):
        ImageRef.parse("127.0.0.1:5000/shop:latest")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("s3cr3t-value")
    assert "s3cr3t" not in f"{secret} {secret!r} {[secret]} { {'k': secret} }"
    assert secret.reveal() == "s3cr3t-value"
    assert secret == Secret("s3cr3t-value")


def test_push_options_are_parsed() -> None:
    assert PushOptions.parse(()) == PushOptions()
    assert PushOptions.parse(("nocache", "buildpack=gitreceive/python")) == PushOptions(
        True, "gitreceive/python"
    )


@pytest.mark.parametrize(
    "option", ["colour=red", "nocache=1", "buildpack", "buildpack=", "buildpack=;id", "NOCACHE", ""]
)
def test_an_unknown_push_option_lists_the_known_ones(option: str) -> None:
    with pytest.raises(UsageError) as caught:
        PushOptions.parse((option,))
    assert "-o nocache" in caught.value.hint


def test_an_option_given_twice_is_an_error() -> None:
    with pytest.raises(UsageError):
        PushOptions.parse(("nocache", "nocache"))


@pytest.mark.parametrize("name", ["Web", "web_1", "-web", "web-", "x" * 31, ""])
def test_a_process_type_must_be_able_to_name_a_deployment(name: str) -> None:
    with pytest.raises(UsageError):
        ProcessType.parse_name(name)


def test_a_job_has_ended_in_three_states_only() -> None:
    assert [state.value for state in JobState if state.ended] == ["live", "failed", "canceled"]
