from gitreceive.errors import cause


def _raised(error: Exception, below: Exception) -> Exception:
    try:
        raise error from below
    except type(error) as caught:
        return caught


def test_the_cause_is_the_systems_words_however_deep() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    assert cause(refused) == "Connection refused"
    assert cause(_raised(ValueError("it failed"), refused)) == "Connection refused"
    assert cause(OSError(ValueError("Connection aborted.", refused))) == "Connection refused"


def test_without_them_it_is_what_the_error_says() -> None:
    assert cause(ValueError("it timed out")) == "it timed out"
    looped = ValueError("round and round")
    looped.__context__ = _raised(TypeError("again"), looped)
    assert cause(looped) == "round and round"
