"""LunarLander-v3: from gymnasium's own controller to a pilot that beats it.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds, 262k environment steps a seed.
          python -m jaxmaze.train --config=configs/lunar_lander.py
          Expect: teacher 247, clones 220-245, fine-tuned 270-280, from scratch 220-280; 2 minutes.
  guide   the same with the settings of MazeRL's guide "Imitation Learning and Fine-Tuning":
          3 episodes, half of them held out, 200 steps at most, 40 epochs, 100 evaluation episodes.
          python -m jaxmaze.train --config=configs/lunar_lander.py:guide
  bc      behavioural cloning alone; needs --config.bc.data=DIR
  dagger  the clone asks the teacher what to do in states that it gets into itself
  ppo     PPO alone; from scratch, or from a clone with --config.ppo.init_from=DIR

What is not set here has the library's default; docs/settings.md lists every field.
"""

import ml_collections

RECIPES = ("workflow", "guide", "bc", "dagger", "ppo")


def get_config(recipe: str = "workflow") -> ml_collections.ConfigDict:
    """The configuration of a recipe."""
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    config = ml_collections.ConfigDict()
    config.stage = recipe if recipe in ("bc", "dagger", "ppo") else "workflow"
    config.seed = 0  # member i has seed + i
    config.members = 3  # seeds, trained side by side as one program

    config.env = {
        "id": "LunarLander-v3",
        "kwargs": {
            "continuous": False,  # True: two throttles instead of four actions
            "gravity": -10.0,
            "enable_wind": False,
            "wind_power": 15.0,
            "turbulence_power": 1.5,
        },
    }
    config.rollout = {"policy": "heuristic", "n_episodes": 100}  # the teacher: gymnasium's own
    config.ppo = {"total_env_steps": 262_144}  # of each seed

    if recipe == "guide":
        config.members = 1  # as there; more with --config.members
        config.env.max_episode_steps = 200
        config.rollout.n_episodes = 3
        config.bc = {
            "learning_rate_schedule": "constant",
            "weight_decay": 0.0,
            "batch_size": 32,
            "num_epochs": 40,
            "validation_percentage": 50.0,
            "best_by": "return",
            "patience": 0,
            "eval_every": 5,
            "eval_episodes": 30,
        }
        config.ppo.eval_episodes = 100
    return config
