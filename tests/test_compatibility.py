"""docs/compatibility.md agrees with the package."""

from tests.compatibility import PAGE, page


def test_the_page_is_what_running_every_row_gives():
    assert PAGE.read_text() == page(), "run python -m tests.compatibility"
