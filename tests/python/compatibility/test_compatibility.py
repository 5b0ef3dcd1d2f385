"""Every family of the compatibility table, built tiny from its real classes: captions, states, words."""

import pytest
from compatibility import checks, table
from compatibility.recipes import CHECKS, Unavailable
from tiny_models import one_thread  # noqa: F401

FAMILIES = {family.name: family for family in table.FAMILIES}
UNAVAILABLE = [name for name, family in FAMILIES.items() if isinstance(family, Unavailable)]


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name not in UNAVAILABLE])
def subject(request):
    return checks.Subject(FAMILIES[request.param])


@pytest.mark.parametrize("check", CHECKS)
def test_family(subject, check):
    subject.outcome(check)


def test_row(subject):
    assert table.row(subject) in table.written()


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_unavailable(name):
    assert table.row_of_unavailable(FAMILIES[name]) in table.written()


def test_the_table_has_no_other_rows():
    names = [line.split("|")[1].strip(" `") for line in table.written() if line.startswith("| `")]
    assert names == list(FAMILIES)
