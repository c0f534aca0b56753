"""Networks from elsewhere are opened here, each kind by its own module."""

from features.backbones.elsewhere import Network, Wanted
from features.backbones.names import is_timm
from features.errors import UsageError


def find(wanted: Wanted) -> Network:
    """Open a network from elsewhere and return what is known of it.

    Raises:
        UsageError: there is no such file or model, or it does not say the size of its images; the
            message asks for it.
        DataError: the file is damaged, or is no network that takes images.
        MissingPackageError: a package that opens it is not installed.
    """
    from features.backbones import own_keras, own_openvino, timm_network

    if is_timm(wanted.backbone):
        return timm_network.open_network(wanted)
    name = wanted.backbone.lower()
    if name.endswith(".h5"):
        raise UsageError(
            f"--backbone {wanted.backbone}: load it in Keras and save it as .keras, in the format "
            "of Keras 3; of .h5 files only weights are read (--weights)"
        )
    is_keras = name.endswith(".keras")
    return own_keras.open_network(wanted) if is_keras else own_openvino.open_network(wanted)
