"""By what a backbone is named: a name of the catalog, a file of a network, or a name in timm."""

FILE_SUFFIXES = (".onnx", ".xml", ".keras", ".h5")


def is_elsewhere(backbone: str) -> bool:
    """Tell whether a backbone is a file or one of timm's, and not a name of the catalog."""
    return is_timm(backbone) or backbone.lower().endswith(FILE_SUFFIXES)


def is_timm(backbone: str) -> bool:
    """Tell whether a backbone is one of timm's."""
    return backbone.startswith("timm/")
