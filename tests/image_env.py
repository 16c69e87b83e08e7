"""A small environment with pictures, for tests."""

import gymnasium as gym
import numpy as np


class Dot(gym.Env):
    """A dot left or right in a picture of 24 x 24: pays for a step towards the middle."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, mixed=False):
        self.mixed = mixed
        image = gym.spaces.Box(0, 255, (24, 24, 1), np.uint8)
        hint = gym.spaces.Tuple(
            (gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(3, start=1))
        )
        self.observation_space = gym.spaces.Dict(image=image, hint=hint) if mixed else image

    def _see(self):
        image = np.zeros((24, 24, 1), np.uint8)
        image[self.row : self.row + 3, self.x - 1 : self.x + 2] = 255
        if not self.mixed:
            return image
        noise = self.np_random.normal(size=2).astype(np.float32)
        return {"image": image, "hint": (noise, np.int64(1 + self.np_random.integers(3)))}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = int(self.np_random.choice([3, 4, 5, 17, 18, 19]))
        self.row = int(self.np_random.integers(2, 20))
        return self._see(), {}

    def step(self, action):
        right = self.x < 12
        self.x = int(np.clip(self.x + (1 if action else -1), 2, 21))
        return self._see(), float(bool(action) == right), False, False, {}


class Words(Dot):
    """One whose observations nothing can be learned from."""

    def __init__(self):
        super().__init__()
        self.observation_space = gym.spaces.Text(8)


def teacher(obs):
    image = obs["image"] if isinstance(obs, dict) else obs
    return (image[..., 0].max(1).argmax(1) < 11).astype(np.int64)


gym.register("Dot-v0", entry_point=Dot, max_episode_steps=20)
gym.register("Words-v0", entry_point=Words, max_episode_steps=20)
