"""AdamW whose step size, weight decay and gradient clipping are array inputs.

So members that train together can differ in them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmaze.core.types import Array, Params

_ADAM = optax.scale_by_adam(eps=1e-5)


def init(params: Params) -> optax.OptState:
    """Adam's initial moments (zeros), as numpy arrays."""
    shapes = jax.eval_shape(_ADAM.init, params)
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def step(
    params: Params,
    opt_state: optax.OptState,
    grads: Params,
    learning_rate: Array | float,
    max_grad_norm: Array | float = jnp.inf,
    weight_decay: Array | float = 0.0,
) -> tuple[Params, optax.OptState, Array]:
    """One step of AdamW after clipping the gradient by its global norm.

    ``p <- p - lr * (adam(g) + wd * p)``; Loshchilov & Hutter (2019), "Decoupled Weight Decay
    Regularization". With ``learning_rate`` 0 the parameters stay bitwise identical.

    Returns:
      New parameters, new moments, and the gradient's norm before clipping.
    """
    norm = optax.tree.norm(grads)
    scale = jnp.minimum(1.0, max_grad_norm / jnp.maximum(norm, 1e-8))
    updates, opt_state = _ADAM.update(jax.tree.map(lambda g: g * scale, grads), opt_state)
    params = jax.tree.map(lambda p, u: p - learning_rate * (u + weight_decay * p), params, updates)
    return params, opt_state, norm


def where(condition: Array, new: Params, old: Params) -> Params:
    """``new`` if a scalar condition holds, else ``old``, bitwise, for each leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
