"""A module a command: its options, and the stage it calls, which is imported only when it runs."""

from pipeline.commands import (
    advise,
    backbones,
    classifiers,
    classify,
    compare,
    demo,
    doctor,
    evaluate,
    extract,
    fetch,
    inspect,
    map,
    report,
    weights,
)

COMMANDS = (
    demo,
    extract,
    classify,
    compare,
    evaluate,
    advise,
    report,
    map,
    inspect,
    backbones,
    classifiers,
    weights,
    fetch,
    doctor,
)
