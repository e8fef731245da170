"""What several tests need: the development data and the released weights, or a reason to skip."""

from pathlib import Path

import pytest

from model.bundle import RELEASED

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory):
    """What servers keep goes into a folder of the tests, and never into that of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMENDS_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("AMENDS_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture
def data() -> Path:
    """The development data, which is kept beside the repository and never inside it."""
    if not DATA.is_dir():
        pytest.skip("the development data (../shared/data) is absent")
    return DATA


@pytest.fixture(scope="session")
def released():
    """A scorer with the released weights."""
    if not (RELEASED / "bundle.json").is_file():
        pytest.skip("no released bundle in model/released")
    from model.scorer import Scorer

    return Scorer.load()
