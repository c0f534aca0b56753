"""AdamW (I. Loshchilov and F. Hutter, 2019), also with discriminative learning rates.

J. Howard and S. Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
section 3.2. The factor scales the update, not the gradient: Adam divides gradients by their size,
so that a scaled gradient would move a weight as far as before.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

DECAYED = "kernel"  # the end of the names of weights that decay; biases and norms do not


def adamw(weight_decay: float) -> Callable[[Any], Any]:
    """Return a function from a learning rate to Keras' AdamW; biases and norms do not decay."""

    def optimizer_of(learning_rate: Any) -> Any:
        import keras

        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer

    return optimizer_of


def discriminative_adamw(
    factors: Sequence[float], weight_decay: float = 0.0
) -> Callable[[Any], Any]:
    """Return a function from a learning rate to an AdamW with a factor for each variable.

    Args:
        factors: the factors of the learning rate, one for each trainable variable, in the
            network's order.
        weight_decay: the weight decay of kernels, scaled by the learning rate and the factor.

    Returns:
        A function from a learning rate (a number or a schedule) to a keras.optimizers.Optimizer,
        whose `variables` are its whole state.
    """
    return functools.partial(_optimizer_class(), factors=tuple(factors), decay=weight_decay)


@functools.cache
def _optimizer_class() -> type:
    """Return the class; this is a function because Keras is imported late."""
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
            index = self._get_variable_index(variable)
            rate = learning_rate * self.factors[index]
            if self.decay and self._decays[index]:
                shrink = ops.cast(rate * self.decay, variable.dtype)
                self.assign_sub(variable, variable * shrink)
            super().update_step(gradient, variable, rate)

        def get_config(self) -> dict[str, Any]:
            return super().get_config() | {"factors": self.factors, "decay": self.decay}

    return DiscriminativeAdamW
