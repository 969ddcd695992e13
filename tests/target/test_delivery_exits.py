"""Exits that were acknowledged before and are sent once more are counted by no limit."""

import pytest

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.signals import StopSignal
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.delivery import Delivery
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.rejects import Rejects
from target_cordial.settings import Settings
from tests.target.running import quick_config

VIP = ContactList(1, "vip")
PEOPLE = [f"p{number}@example.com" for number in range(101)]


class Keeper:
    """Takes files in place of Cordial, and keeps what is in them."""

    def __init__(self):
        self.rows = []

    def deliver(self, file):
        _, *rows = file.path.read_text(encoding="utf-8").splitlines()
        self.rows += rows
        return ImportResult(name="import", job_id="job")

    def name_lost_rows(self):
        return []


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def delivery(box, keeper, tmp_path):
    settings = Settings.from_config(quick_config(box))
    (tmp_path / "run").mkdir()
    made = Delivery(
        settings, Rejects(settings, "run"), tmp_path / "run", StopSignal(), null_marker="null-0", stamp=dict
    )
    made.start(keeper, ["channels.email.address"])
    yield made
    made.close()


def finish(delivery, size):
    delivery.finish_enters()
    delivery.finish_rejects()
    delivery.finish_exits(lambda _: size)


def test_exits_again_go_however_many_they_are(delivery, keeper):
    delivery.exit(VIP, PEOPLE, position=1, again=True)
    finish(delivery, size=0)
    assert sorted(keeper.rows) == sorted(PEOPLE)
    assert delivery.removals == {"vip": (0, 0)}


def test_beside_exits_again_the_others_are_counted(delivery, keeper):
    delivery.exit(VIP, [f"again{number}@example.com" for number in range(500)], position=1, again=True)
    delivery.exit(VIP, PEOPLE, position=501)
    with pytest.raises(UserError, match="101 of the 504 contacts on list 'vip'"):
        finish(delivery, size=504)
    assert keeper.rows == [], "all or none of a list"


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_an_exit_that_comes_again_and_plainly_is_counted(delivery, keeper, order):
    for position, again in zip((1, 102), order, strict=True):
        delivery.exit(VIP, PEOPLE, position=position, again=again)
    with pytest.raises(UserError, match="101 of the 0 contacts"):
        finish(delivery, size=0)
    assert keeper.rows == []


def test_who_comes_back_is_counted_no_more(delivery, keeper):
    delivery.exit(VIP, PEOPLE, position=1)
    back = PEOPLE[:2]
    delivery.enter(VIP, back, [(key,) for key in back], position=102, updates=0)
    delivery.exit(VIP, back, position=104, again=True)
    finish(delivery, size=1_000)
    assert sorted(keeper.rows) == sorted(PEOPLE)
    assert delivery.removals == {"vip": (99, 1_000)}
