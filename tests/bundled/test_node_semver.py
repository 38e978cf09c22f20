import pytest
from nodepack.cnb import Refusal
from nodepack.semver import newest

VERSIONS = ["18.20.8", "20.9.0", "20.18.1", "22.0.0-rc.1", "22.11.0", "22.12.0", "23.1.0", "0.12.3", "0.12.7"]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("22.x", "22.12.0"),
        ("22", "22.12.0"),
        ("22.11", "22.11.0"),
        ("=22.11.0", "22.11.0"),
        ("v22.11.0", "22.11.0"),
        ("^20.9.0", "20.18.1"),
        ("~20.9.0", "20.9.0"),
        ("~20", "20.18.1"),
        ("^0.12.3", "0.12.7"),
        (">=20 <23", "22.12.0"),
        (">= 20.0.0 < 22", "20.18.1"),
        (">20", "23.1.0"),
        (">20.18.1 <22.12.0", "22.11.0"),
        ("<=20", "20.18.1"),
        ("<=22.11.0 >=22", "22.11.0"),
        ("18 - 20", "20.18.1"),
        ("18.0.0 - 20.9.0", "20.9.0"),
        ("18 || 20", "20.18.1"),
        ("*", "23.1.0"),
        ("", "23.1.0"),
        ("latest", "23.1.0"),
        ("99.x", None),
        (">=22.0.0-rc.1 <22.11", None),
    ],
)
def test_a_range_is_read_as_npm_reads_it(expression: str, chosen: str | None) -> None:
    assert newest(VERSIONS, expression) == chosen


@pytest.mark.parametrize("expression", ["twenty", ">=", "20 &&", "22.x.y.z!", "lts/iron"])
def test_what_is_no_range_is_refused(expression: str) -> None:
    with pytest.raises(Refusal, match="no version range"):
        newest(VERSIONS, expression)
