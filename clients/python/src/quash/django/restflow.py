"""Keeps drf-restflow's rules in Python and moves the work out: import this, and rules may say `dispatcher="quash"`."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from restflow.caching.dispatchers import Dispatcher, register
from restflow.caching.registry import CacheRegister
from restflow.caching.tasks import run_cache_rules

from .commands import publish


@register
class QuashDispatcher(Dispatcher):
    """Publishes what a rule would delete as a direct command.

    Settings, as `dispatcher_config` of a rule:

    - `target`: the target to act on; every one when it is left out.
    - `whole_keys`: `False` when the target has a `key_format` that adds Django's prefix and version; otherwise keys are
      published as they stand in Redis.

    A rule with `rewarm=True` runs in the process: only there is the function.
    """

    name = "quash"

    def dispatch(self, *, rule_ids: list[int], rule_kwargs: dict[str, dict[str, Any]], **_context: Any) -> None:
        """Publishes one command for each rule. Called by restflow after the commit."""
        commands = []
        for rule_id in rule_ids:
            rule, arguments = CacheRegister.get_rule(rule_id), rule_kwargs.get(str(rule_id))
            if rule is None or arguments is None:
                continue
            if rule["invalidation_rule"].rewarm:
                run_cache_rules(rule_ids=[rule_id], rule_kwargs=rule_kwargs, dispatcher_name=self.name)
            else:
                commands.append(self._command(rule["func"], arguments))
        publish(commands)

    def _command(self, wrapper: Any, arguments: dict[str, Any]) -> dict[str, str]:
        constructor = wrapper.key_constructor
        prefix = constructor.build_key_prefix(wrapper.func, (), arguments)
        if self.config.get("whole_keys", True):
            prefix = cache.make_key(prefix, version=constructor.get_version())
        # Without other fields the prefix is a key; one key is cheaper than a search.
        what = {"key" if constructor.has_only_partition_fields else "prefix": prefix}
        target = self.config.get("target")
        return what if target is None else what | {"target": target}
