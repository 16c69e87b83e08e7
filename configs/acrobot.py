"""Acrobot-v1: from a teacher that pumps blindly to a swing-up that is sure.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds.
          python -m jaxmaze.train --config=configs/acrobot.py
          Expect (200k steps): teacher -92, clones -91, fine-tuned -85, from scratch -83.
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
    config.env = {"id": "Acrobot-v1"}
    config.rollout = {"policy": "heuristic"}  # the teacher, -89
    return config
