"""CartPole-v1: from a teacher that loses sight of the cart to a pole that stays up.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds.
          python -m jaxmaze.train --config=configs/cartpole.py
          Expect (50k steps): teacher 310, clones 310, fine-tuned and from scratch 500.
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
    config.env = {"id": "CartPole-v1"}
    config.rollout = {"policy": "heuristic"}  # the teacher, 308 of 500
    return config
