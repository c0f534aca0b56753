"""One module for each command: its options and its stage, which is imported when it runs."""

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
