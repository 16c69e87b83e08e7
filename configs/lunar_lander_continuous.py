"""LunarLanderContinuous-v3: two throttles instead of four actions, cloned and fine-tuned.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds.
          python -m jaxmaze.train --config=configs/lunar_lander_continuous.py
          Expect (300k steps): teacher 284, clones 283, fine-tuned 283, from scratch 257.
  bc      behavioural cloning alone; needs --config.bc.data=DIR
  dagger  the clone asks the teacher what to do in states that it gets into itself
  ppo     PPO alone; from scratch, or from a clone with --config.ppo.init_from=DIR

What is not set here has the library's default; docs/settings.md lists every field.
"""

import ml_collections

RECIPES = ("workflow", "bc", "dagger", "ppo")


def get_config(recipe: str = "workflow") -> ml_collections.ConfigDict:
    """The configuration of a recipe."""
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    config = ml_collections.ConfigDict()
    config.stage = recipe
    config.members = 3  # seeds, trained side by side as one program
    config.env = {"id": "LunarLanderContinuous-v3"}
    config.rollout = {"policy": "heuristic"}  # the teacher: gymnasium's own controller
    return config
