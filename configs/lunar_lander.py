"""LunarLander-v3: the whole workflow, from gymnasium's own controller to a better pilot.

Command:
  python -m jaxmaze.train --config=configs/lunar_lander.py
"""

import ml_collections


def get_config(recipe: str = "workflow") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.stage = "workflow"
    config.seed = 0
    config.members = 3
    config.env = dict(id="LunarLander-v3", kwargs=dict(continuous=False))
    config.ppo = dict(total_env_steps=300_000)
    if recipe in ("bc", "ppo"):
        config.stage = recipe
    return config
