"""Discriminative learning rates: an optimizer that moves some weights more slowly than others.

J. Howard and S. Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
section 3.2. The factor is applied to the update, not to the gradient: Adam divides gradients by
their size, so that a scaled gradient would move a weight as far as before.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

DECAYED = "kernel"  # what weights end in that decay; biases and those of norms stay as they are


def adamw(factors: Sequence[float], weight_decay: float = 0.0) -> Callable[[Any], Any]:
    """Return what makes an AdamW (Loshchilov and Hutter 2019) with a factor for each variable.

    Args:
        factors: of the learning rate, one for each trainable variable in the network's order.
        weight_decay: times the learning rate and the factor, of kernels alone.

    Returns:
        A function from a learning rate, a number or a schedule, to a keras.optimizers.Optimizer;
        what it keeps in `variables` is all that a checkpoint needs.
    """
    return functools.partial(_optimizer_class(), factors=tuple(factors), decay=weight_decay)


@functools.cache
def _optimizer_class() -> type:
    """Return the class; a function, as Keras is imported late."""
    import keras
    from keras import ops

    class DiscriminativeAdamW(keras.optimizers.Adam):
        def __init__(
            self, learning_rate: Any, factors: Sequence[float], decay: float = 0.0, **options: Any
        ) -> None:
            super().__init__(learning_rate, **options)
            self.factors, self.decay = tuple(factors), decay

        def build(self, variables: Sequence[Any]) -> None:
            if len(variables) != len(self.factors):
                raise ValueError(
                    f"{len(self.factors)} factors for {len(variables)} trainable variables"
                )
            self._decays = [variable.name.endswith(DECAYED) for variable in variables]
            super().build(variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            rate = learning_rate * self.factors[place]
            if self.decay and self._decays[place]:
                shrink = ops.cast(rate * self.decay, variable.dtype)
                self.assign_sub(variable, variable * shrink)
            super().update_step(gradient, variable, rate)

        def get_config(self) -> dict[str, Any]:
            return super().get_config() | {"factors": self.factors, "decay": self.decay}

    return DiscriminativeAdamW
