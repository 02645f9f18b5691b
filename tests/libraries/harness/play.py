"""Plays the application: makes the calls of scenarios in a process of its own, and says which of them were hits.

`python -m harness.play LIBRARY BACKEND populate|ask URL` prints a JSON object: for each scenario whether its calls, those
that go before those that stay, were hits. `populate` makes every call, and then every call again: only the second is told.
A library's folder has an `app.py` with the decorated functions, each of which calls `harness.play.computed` in its body, and

- `connect(backend, url)`, which sets the library up,
- `behind(prefix, version)`, which puts other things before its keys,
- optionally `begin(settings)`, which takes what a scenario has as `settings`.
"""

import json
import pathlib
import sys

computations = 0


def computed(result=None):
    """Counts that a function's body ran; gives the result back, for a body of one line."""
    global computations
    computations += 1
    return result


def main(library, backend, task, url):
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / library))
    import scenarios

    import app

    app.connect(backend, url)
    answers = {}
    for scenario in scenarios.SCENARIOS:
        if backend not in scenario.played_on(scenarios.BACKENDS):
            continue
        calls = [*scenario.goes, *scenario.stays]
        getattr(app, "begin", lambda settings: None)(scenario.settings)
        if task == "populate":
            for call in calls:
                assert not is_hit(app, scenario, call), f"{scenario.name}: {call} was a hit before it was ever made"
        answers[scenario.name] = [is_hit(app, scenario, call) for call in calls]
    json.dump(answers, sys.stdout)


def is_hit(app, scenario, call):
    app.behind(scenario.name + call.prefix, call.version)
    before = computations
    getattr(app, call.function)(*call.args, **call.kwargs)
    return computations == before


if __name__ == "__main__":
    # Not as `__main__`: the application imports this module, and there is one counter.
    from harness.play import main as play

    play(*sys.argv[1:])
