"""Networks from elsewhere are opened here, each kind by its own module."""

from features.backbones.elsewhere import Network, Wanted


def find(wanted: Wanted) -> Network:
    """Open a network from elsewhere and return what is known of it.

    Raises:
        UsageError: there is no such file, or it does not say the size of its images; the message
            asks for it.
        DataError: the file is damaged, or is no network that takes images.
        MissingPackageError: a package that opens it is not installed.
    """
    from features.backbones import own_openvino

    return own_openvino.open_network(wanted)
