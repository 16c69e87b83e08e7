"""BipedalWalker-v3: from a teacher that falls in most episodes to one that walks on.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds.
          python -m jaxmaze.train --config=configs/bipedal_walker.py
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
    config.env = {"id": "BipedalWalker-v3"}
    config.rollout = {"policy": "heuristic"}  # the teacher, 52; 300 is solved
    return config
