"""One server for all attacks. Behind each surface it is looked whether it is whole, and whether an honest push goes live."""

from collections.abc import Iterator

import pytest

from tests.attacks.target import Fort, honest


@pytest.fixture(scope="session")
def fort(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fort]:
    fort = Fort(tmp_path_factory.mktemp("fort"))
    try:
        honest(fort)
        yield fort
    finally:
        fort.close()


@pytest.fixture(scope="module", autouse=True)
def whole(fort: Fort) -> Iterator[None]:
    yield
    fort.is_whole()
    honest(fort)


@pytest.fixture(scope="module")
def untouched(fort: Fort) -> Iterator[None]:
    """What the attacks of a module leave behind: nothing."""
    before = fort.stored()
    yield
    assert fort.stored() == before
