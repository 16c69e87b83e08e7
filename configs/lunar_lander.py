"""LunarLander-v3: from gymnasium's own controller to a pilot that beats it.

Recipes:
  (none)  the whole workflow: 100 teacher episodes, 4 arms x 3 seeds, 262k environment steps a seed.
          python -m jaxmaze.train --config=configs/lunar_lander.py
          Expect: teacher 247, clones 220-245, fine-tuned 270-280, from scratch 140-265; 2 minutes.
  guide   the same with the settings of MazeRL's guide "Imitation Learning and Fine-Tuning":
          3 episodes, half of them held out, 200 steps at most, 40 epochs, 100 evaluation episodes.
          python -m jaxmaze.train --config=configs/lunar_lander.py:guide
  bc      behavioural cloning alone; needs --config.bc.data=DIR
  dagger  the clone asks the teacher what to do in states that it gets into itself
  ppo     PPO alone; from scratch, or from a clone with --config.ppo.init_from=DIR
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
        "backend": "gymnasium",  # "envpool": training on C++ threads, with the extra of that name
        # "max_episode_steps": the registered limit, 1000, if not set
        # "workers": worker processes; one a core if not set, 0 for none
        # "shards": parts that environments are dealt out in, 4 if not set, and so the most workers;
        #   results depend on it, as on a seed, but not on workers
    }

    config.network = {
        "hidden_sizes": (64, 64),  # of policy and value alike
        "activation": "tanh",
    }

    config.rollout = {
        "policy": "heuristic",  # the teacher
        "n_episodes": 100,  # recorded episodes
        "num_envs": 16,  # environments stepped at once
        "epsilon": 0.0,  # probability of a random action instead; BC learns the teacher's
        "noise_std": 0.0,  # Gaussian noise on continuous actions, in halves of their range
        # "keyboard": a person's keys, {"left": 1, "": 0}; those of the environment if not set
    }

    config.bc = {
        # "data": recorded episodes; the workflow's own if not set
        "learning_rate": 3e-3,  # Adam
        "learning_rate_schedule": "linear",  # to 0 at the end; or "constant"
        "batch_size": 128,
        # "num_updates": gradient steps, however many epochs these are; 20,000 if not set
        # "num_epochs": passes over the training episodes, instead
        "validation_percentage": 20.0,  # of the episodes
        "entropy_coef": 0.0,  # weight of the entropy bonus
        "weight_decay": 0.1,  # decoupled
        "best_by": "last",  # which epoch's policy is kept; or "validation_loss", "return", and then
        # "patience": epochs without improvement until a member stops, a fifth if not set
        "refit": True,  # train anew on all episodes, for as many epochs as were right
        # "eval_every": epochs between evaluations by rollouts, a fifth if not set; 0 for none
        "eval_episodes": 20,
    }

    config.dagger = {
        # "policy": the teacher; rollout.policy if not set
        "rounds": 10,  # round 0 is the teacher's
        "n_episodes": 5,  # of each member in each round
        "beta_schedule": "indicator",  # the teacher acts in round 0 alone; "linear", "exponential"
        "beta_decay": 0.5,  # a round, for "exponential"
        "eval_episodes": 20,  # after each round
        "playoff_episodes": 200,  # other ones, between the best rounds and the last; 0 for none
    }

    config.curve = {  # --config.stage=curve: is a demonstration worth it
        "episodes": (1, 3, 10, 30, 100),  # to clone from
        "draws": 5,  # times that as many are drawn, each with seeds of its own
        "equal_updates": True,  # few episodes are passed over more often
    }

    config.ppo = {
        # "init_from": a bc or ppo run to start from; from scratch if not set
        "learning_rate": 5e-4,  # of the policy; 0 keeps it as it is
        "value_learning_rate": 1e-3,  # of the critic
        "learning_rate_schedule": "linear",  # to 0 at the end; or "constant"
        "num_envs": 16,
        "num_steps": 256,  # of each environment between updates
        "batch_size": 64,
        "num_epochs": 4,  # passes over each segment
        "total_env_steps": 262_144,  # of each seed, those of the burn-in included
        "gamma": 0.999,  # landing is far away
        "gae_lambda": 0.98,
        "clip_range": 0.2,
        "entropy_coef": 0.005,
        "value_coef": 0.5,  # of half the mean squared error: 0.25 in terms of SB3's vf_coef
        "max_grad_norm": 0.5,
        # "target_kl": stop the policy for the rest of an update past 1.5 times this, if set
        "audit": "stop",  # if what is taken over does not act as the clone did; or "report"
        "exploration": "reset",  # to start_exploration; or "kept" as the clone's, "calibrated"
        "start_exploration": 0.3,  # of the most there is: share of entropy, std / half range
        "critic_fit_epochs": 10,  # passes over the demonstrations' returns, beforehand
        "critic_burn_in": 10,  # at most so many iterations with a clone's policy frozen,
        "burn_in_until": 0.5,  # or fewer, if the critic explains so much of Monte-Carlo returns
        "anchor_coef": 0.0,  # weight of KL(clone || policy) in the loss; 0 for no anchor
        "anchor_schedule": "linear",  # to 0 at the end; or "constant"
        # "anchor_target_kl": divergence that the anchor's weight is adapted to, instead
        "cloning_coef": 0.0,  # weight of the cloning loss on demonstrations; same schedule
        "average_decay": 0.9,  # what is evaluated is an average of the latest policies; 0: the last
        "observation_statistics": "auto",  # or "frozen", "constant", "adapt", "running"
        "overlap": False,  # True: collect with the policy of one update ago, while updating
        "eval_every": 8,  # iterations between evaluations and checkpoints
        "eval_episodes": 20,
        "playoff_episodes": 200,  # other ones, between the best on the way and the last; 0 for none
    }

    config.evaluation = {
        "episodes": 300,  # fresh ones, the same for every policy and for the teacher
        "deterministic": True,
        "seed": 20_250,  # of these episodes
    }

    if recipe == "guide":
        config.members = 1  # as there; more with --config.members
        config.env.max_episode_steps = 200
        config.rollout.n_episodes = 3
        config.bc.update(batch_size=32, num_epochs=40, validation_percentage=50.0, patience=0)
        config.bc.update(best_by="return", eval_every=5, eval_episodes=30)
        config.bc.update(learning_rate_schedule="constant", weight_decay=0.0)
        # Three episodes teach a critic nothing: it is burnt in, as the guide does it.
        config.ppo.update(critic_fit_epochs=0, critic_burn_in=10, burn_in_until=None)
        config.ppo.update(exploration="kept", entropy_coef=0.01, eval_episodes=100)
    return config
