"""A module a command: its options, and the stage it calls, which is imported only when it runs."""

from pipeline.commands import (
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
    inspect,
    backbones,
    classifiers,
    weights,
    fetch,
    doctor,
)
