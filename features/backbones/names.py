"""By what a backbone is named: a name of the catalog, or a file of a network."""

FILE_SUFFIXES = (".onnx", ".xml", ".keras", ".h5")


def is_elsewhere(backbone: str) -> bool:
    """Tell whether a backbone is named by a file of it, and not by a name of the catalog."""
    return backbone.lower().endswith(FILE_SUFFIXES)
