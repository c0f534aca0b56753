"""How much may be read from a file of a given size, so that a small one cannot fill the memory."""

RATIO = 64  # times what is stored
FREE_BYTES = 2**26  # beyond that, since a small file may well repeat itself


def most_bytes(stored: int) -> int:
    """Return how many bytes may be read where so many are stored."""
    return FREE_BYTES + RATIO * stored
