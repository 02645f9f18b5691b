"""Keeps rules in Python and moves the work out: restflow's own, and caches whose `delete` publishes."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from shop_before import Page, country

from quash.django.argcache import PublishingCache

restflow_alone = pytest.mark.skipif(not settings.HAS_RESTFLOW, reason="Django REST framework needs a newer Django")


@restflow_alone
def test_restflows_own_rules_are_carried_out_by_the_worker(shop):
    renamed, other = country("DE"), country("FR")
    with shop.changes(
        goes=[Page("atlas", renamed.pk), Page("atlas", renamed.pk, 2), Page("flag", renamed.pk)],
        stays=[Page("atlas", other.pk), Page("flag", other.pk)],
        batches=None,
    ):
        renamed.code = "IT"
        renamed.save()
    assert shop.batches


@restflow_alone
def test_restflows_own_rules_wait_for_the_commit(shop):
    renamed = country("DE")
    with shop.changes(stays=[Page("atlas", renamed.pk), Page("flag", renamed.pk)], batches=0):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            renamed.code = "IT"
            renamed.save()
            raise ZeroDivisionError


def test_a_cache_whose_delete_publishes_leaves_the_work_to_the_worker(shop):
    publishing = PublishingCache(target="keys")
    for key in ("token", "other"):
        publishing.set(key, 1)
    with shop.changes():
        with transaction.atomic():
            publishing.delete("token")
            assert cache.get("token") == 1
    assert (cache.get("token"), cache.get("other")) == (None, 1)
    with shop.changes(batches=0):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publishing.delete_many(["other"])
            raise ZeroDivisionError
    assert cache.get("other") == 1
