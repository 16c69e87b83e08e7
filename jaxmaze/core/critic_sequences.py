"""The fit of :mod:`jaxmaze.core.critic` for recurrent critics, on sequences of steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxmaze.core import advantages, bc_sequences, losses, optimizer, sequences, shuffle
from jaxmaze.core.critic import Returns, fit_keys, fitted
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.ppo import Hyper, State
from jaxmaze.core.types import Array, Params, PyTree, Sequences


def _obs(returns: Returns, rows: Array) -> PyTree:
    return jax.tree.map(lambda x: jnp.asarray(x).at[rows].get(mode="clip"), returns.obs)


def _cuts(returns: Returns) -> Sequences:
    assert returns.sequences is not None, "critics that remember need to know where episodes begin"
    return returns.sequences


def judged(
    networks: Networks, state: State, params: Params, returns: Returns
) -> tuple[Array, Array, Array]:
    """A recurrent critic's values over whole episodes.

    Returns:
      Values ``[R]``; targets ``[R]``, bootstrapped from the critic's own value at a truncation;
      and the hidden state ``[C, H]`` at the start of each sequence.
    """
    cuts, stats, rows = _cuts(returns), state.policy.obs_stats, len(returns.reward_to_go)

    def visit(total: PyTree, part: sequences.Part) -> tuple[PyTree, Array]:
        obs = _obs(returns, part.rows)
        value, passed = networks.follow_value(params, stats, obs, part.memory)
        # Padding is dropped.
        return total.at[jnp.where(part.mask > 0, part.rows, rows)].set(value, mode="drop"), passed

    marked = jnp.asarray(cuts.parts) > 0
    value, carries = sequences.walk(cuts, marked, networks.carry_size, visit, jnp.zeros(rows))
    end = carries.end[: len(jax.tree.leaves(returns.final_obs)[0])]
    beyond = networks.value_after(params, stats, returns.final_obs, end)
    target = returns.reward_to_go / returns.scale + returns.left * beyond[returns.episode]
    return value, target, carries.start


def fit(
    networks: Networks,
    batch_size: int,
    num_epochs: int,
    state: State,
    returns: Returns,
    hyper: Hyper,
) -> tuple[State, dict[str, Array]]:
    """Fit the critic to returns by regression, as :func:`jaxmaze.core.critic.fit`.

    A minibatch has enough sequences to make up ``batch_size`` steps.
    """
    cuts, stats = _cuts(returns), state.policy.obs_stats
    real = jnp.asarray(cuts.length) > 0
    size = bc_sequences.batch_of(batch_size, len(cuts.time))

    def epoch(carry: PyTree, key: Array) -> tuple[PyTree, Array]:
        _, target, start = judged(networks, state, carry[0], returns)
        order = shuffle.marked_first(shuffle.permutation(key, len(cuts.start)), real)

        def minibatch(i: Array, carry: PyTree) -> PyTree:
            params, opt_state, total = carry
            place = i * size + jnp.arange(size)
            which = jnp.asarray(order).at[place].get(mode="clip")
            rows, mask, begin = sequences.take(cuts, which)
            weight, memory = mask * (place < real.sum()), Memory(start[which], begin)
            wanted = jnp.asarray(target).at[rows].get(mode="clip")

            def loss_fn(params: Params) -> Array:
                value = networks.value(params, stats, _obs(returns, rows), memory)
                return hyper.value_coef * losses.value_loss(value, wanted, weight)

            loss, grads = jax.value_and_grad(loss_fn)(params)
            params, opt_state, _ = optimizer.step(
                params, opt_state, grads, hyper.value_learning_rate, hyper.max_grad_norm
            )
            return params, opt_state, total + loss

        # Only as many steps as this critic's own sequences fill, whatever other members have.
        steps = -(-real.sum() // size)
        *carry, total = jax.lax.fori_loop(0, steps, minibatch, (*carry, jnp.zeros(())))
        return tuple(carry), total / steps

    start: tuple[Params, optax.OptState] = (state.value_params, state.value_opt)
    (params, opt_state), loss = jax.lax.scan(epoch, start, fit_keys(state, num_epochs))
    count = jnp.asarray(cuts.length).sum()
    value, target, _ = judged(networks, state, params, returns)
    state = fitted(state, params, opt_state, returns, count)
    explained = advantages.explained_variance(value, target, returns.weight)
    return state, {"explained_variance": explained, "value_loss": loss[-1]}
