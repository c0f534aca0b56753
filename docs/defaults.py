"""Signatures in the reference show the values of defaults, not the config fields that hold them."""

import inspect
from importlib import import_module
from typing import Any

import griffe


class Defaults(griffe.Extension):
    """Replaces a default such as `ExtractConfig.backbone` by its value."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Take the defaults of a documented function from the function itself."""
        named = [each for each in func.parameters if "Config." in str(each.default)]
        if not named:
            return
        owner: Any = import_module(func.module.path)
        for name in func.path.removeprefix(f"{func.module.path}.").split("."):
            owner = getattr(owner, name)
        parameters = inspect.signature(owner).parameters
        for each in named:
            each.default = repr(parameters[each.name].default)
