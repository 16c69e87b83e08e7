"""Environments that take actions of every kind and none but such as their spaces contain."""

import gymnasium as gym
import numpy as np

S = gym.spaces


class Everything(gym.Env):
    """Pays for each part of the action that is as the observation tells."""

    observation_space = S.Box(-1, 1, (3,), np.float32)
    action_space = S.Dict(
        {
            "gear": S.Discrete(3, start=-1),
            "steer": S.Tuple([S.Box(-2, 2, (2, 1), np.float64), S.Box(0, 10, (), np.int64)]),
            "lamps": S.MultiBinary([2, 2]),
            "tools": S.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [0, 0]]),
        }
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._look(), {}

    def _look(self):
        self.obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.obs

    def step(self, action):
        fits = set(action) == set(self.action_space.spaces) and all(
            action[name] in self.action_space[name] for name in ("gear", "lamps", "tools")
        )
        turn, gas = action["steer"]
        assert fits and turn.shape == (2, 1) and (np.abs(turn) <= 2).all(), action
        assert np.shape(gas) == () and gas.dtype == np.int64 and 0 <= gas <= 10, action
        good = everything(self.obs[None])
        right = [(action[n] == good[n][0]).mean() for n in ("gear", "lamps", "tools")]
        missed = [np.abs(turn - good["steer"][0][0]).mean(), abs(gas - good["steer"][1][0]) / 10]
        return self._look(), float(sum(right) - sum(missed)), False, False, {}


def everything(obs):
    """What is right; with booleans and floats where the space has other types."""
    tools = [obs[:, 0] > 0, 1 + (obs[:, 1] > 0) * 2, (obs[:, 2] > 0) * 3, obs[:, 0] < 0]
    return {
        "gear": np.sign(obs[:, 0].round()).astype(int),
        "steer": (1.5 * obs[:, 1:, None], (5 * (obs[:, 0] + 1)).round()),
        "lamps": np.stack([obs > 0, obs < 0.5], -1)[:, :2],
        "tools": np.stack(tools, 1).reshape(-1, 2, 2).astype(int),
    }


class Masked(gym.Env):
    """Walks on a line of 7 places, of which ``gap`` may not be stepped on; refuses what it forbids.

    Args:
      how: where the masks are: ``info``, ``observation``, ``method``; ``none`` for nowhere.
      multi: whether an action is a direction and a length, instead of one of four.
      strict: whether a forbidden action is an error.
    """

    def __init__(self, how="info", multi=False, strict=True):
        self.how, self.strict = how, strict
        self.action_space = S.MultiDiscrete([2, 2]) if multi else S.Discrete(4, start=1)
        self.size, self.multi = 4, multi
        self.observation_space = self.place = S.Box(0, 6, (2,), np.float32)
        if how == "observation":
            self.observation_space = S.Dict({"x": self.place, "action_mask": S.MultiBinary(4)})
        if how == "method":
            self.action_masks = self._mask

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.gap = 0, int(self.np_random.integers(1, 6))
        return self._observed()

    def _targets(self):
        return self.x + np.array([-1, 1, -2, 2])  # one to the left, one to the right, two ...

    def _mask(self):
        targets = self._targets()
        allowed = (targets >= 0) & (targets <= 6) & (targets != self.gap)
        if self.multi:  # the length may be free where the direction is not: keep to either
            left, right = allowed[[0, 2]].all(), allowed[[1, 3]].all()
            one, two = allowed[[0, 1]].all(), allowed[[2, 3]].all()
            return np.array([left, right or not left, one or not two, two], np.int8)
        return allowed.astype(np.int8)

    def _observed(self):
        place = np.array([self.x, self.gap], np.float32)
        if self.how == "observation":
            return {"x": place, "action_mask": self._mask()}, {}
        return place, {"action_mask": self._mask()} if self.how == "info" else {}

    def step(self, action):
        if self.multi:
            assert not self.strict or self._mask().reshape(2, 2)[[0, 1], action].all()
            index = action[0] + 2 * action[1]
        else:
            index = action - 1
            assert not self.strict or self._mask()[index] == 1, (action, self._mask())
        self.x = int(np.clip(self._targets()[index], 0, 6))
        return *self._observed()[:1], float(self.x == 6) - 0.1, self.x == 6, False, self._info()

    def _info(self):
        return self._observed()[1]


def rightwards(obs):
    """Goes to the right as far as it may, else to the left."""
    best = np.array([1, 3, 0, 4])  # of left, right, left by two, right by two
    return np.where(obs["action_mask"] > 0, best, -1).argmax(-1) + 1


def reckless(obs):
    """Two to the right, whatever is there."""
    return np.full(len(obs["action_mask"]), 4)


gym.register("Everything-v0", "tests.action_env:Everything", max_episode_steps=10)
gym.register("Masked-v0", "tests.action_env:Masked", max_episode_steps=20)
