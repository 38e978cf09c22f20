from gitreceive.voice import Voice


def _said(*chunks: bytes) -> bytes:
    out: list[bytes] = []
    voice = Voice(out.append)
    for chunk in chunks:
        voice.write(chunk)
    return b"".join(out)


def test_steps_details_and_errors_speak_heroku() -> None:
    out: list[bytes] = []
    voice = Voice(out.append)
    voice.step("Publishing")
    voice.detail("app 1 kB")
    voice.error("it failed", "try again")
    assert b"".join(out) == b"-----> Publishing\n       app 1 kB\n !     it failed\n !     try again\n"


def test_output_is_indented_however_it_is_cut() -> None:
    whole = _said(b"one\ntwo\n\nthree")
    assert whole == b"       one\n       two\n\n       three"
    assert _said(b"o", b"ne\nt", b"wo\n", b"\nth", b"ree") == whole


def test_a_step_after_half_a_line_begins_a_new_one() -> None:
    out: list[bytes] = []
    voice = Voice(out.append)
    voice.write(b"half")
    voice.step("next")
    assert b"".join(out) == b"       half\n-----> next\n"


def test_what_others_have_named_does_nothing_to_a_terminal() -> None:
    out: list[bytes] = []
    voice = Voice(out.append)
    voice.error("no file \x1b]0;title\x07 \x1b[8m \u202etxt \udcff", "see \x9b2J")
    assert b"".join(out) == b" !     no file ^[]0;title^G ^[[8m <U+202E>txt ?\n !     see <U+009B>2J\n"
