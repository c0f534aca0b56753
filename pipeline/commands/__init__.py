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
    finetune,
    inspect,
    map,
    report,
    scratch,
    weights,
)

COMMANDS = (
    demo,
    extract,
    classify,
    finetune,
    scratch,
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
