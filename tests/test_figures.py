import pytest

from benchmarks import figures
from model.bundle import RELEASED, manifest


def test_the_pages_say_what_the_released_bundle_measures():
    differing = [str(path) for path, page in figures.pages().items() if path.read_text(encoding="utf-8") != page]
    assert differing == [], "python -m benchmarks.figures writes them anew"


def test_the_model_card_is_of_the_released_bundle():
    card = RELEASED.parents[1] / "docs/model-card.md"
    title = card.read_text(encoding="utf-8").splitlines()[0]
    assert title == f"# Model card: bundle {manifest(RELEASED)['version']}"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.7015, 3, ".702"), (-0.21, 2, "\N{MINUS SIGN}.21"), (-0.0004, 2, ".00"), (1.37, 2, "1.37"), (None, 2, "")],
)
def test_figures_are_short(value: float | None, digits: int, shown: str):
    assert figures.short(value, digits) == shown
