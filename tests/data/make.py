"""Makes the files in this folder, with the libraries that they are from (not installed for tests).

``python make.py imitation`` with imitation 1.0.1, ``python make.py d3rlpy`` with d3rlpy 2.8.1.
"""

import sys

import h5py
import numpy as np

rng = np.random.default_rng(0)
LENGTHS = (4, 6, 5)
episodes = [
    {
        "obs": rng.uniform(-1, 1, (n + 1, 4)).astype(np.float32),
        "acts": rng.integers(0, 2, n),
        "rews": np.arange(n, dtype=np.float32) + i,
        "terminal": i != 1,
    }
    for i, n in enumerate(LENGTHS)
]
np.savez("truth.npz", **{f"{k}_{i}": v for i, e in enumerate(episodes) for k, v in e.items()})


def together(name):
    return np.concatenate([e[name] for e in episodes])


if "imitation" in sys.argv:
    from imitation.data import serialize, types

    infos = [np.array([{"TimeLimit.truncated": False}] * n) for n in LENGTHS]
    trajectories = [
        types.TrajectoryWithRew(
            e["obs"], e["acts"], info, e["terminal"], e["rews"].astype(np.float64)
        )
        for e, info in zip(episodes, infos, strict=True)
    ]
    serialize.save("imitation", trajectories)
    np.savez_compressed(  # as versions before 0.4 wrote it; infos become pickles
        "imitation_old.npz",
        obs=together("obs"),
        acts=together("acts"),
        rews=together("rews"),
        infos=np.concatenate(infos),
        terminal=np.array([e["terminal"] for e in episodes]),
        indices=np.cumsum(LENGTHS[:-1]),
    )
    assert len(serialize.load("imitation_old.npz")) == len(serialize.load("imitation")) == 3

if "d3rlpy" in sys.argv:
    from d3rlpy.dataset import Episode, dump, load_v1

    with open("d3rlpy.h5", "w+b") as file:  # noqa: PTH123
        dump(
            [
                Episode(e["obs"][:-1], e["acts"][:, None], e["rews"][:, None], e["terminal"])
                for e in episodes
            ],
            file,
        )
    ends = np.cumsum(LENGTHS) - 1
    flags = np.zeros((2, sum(LENGTHS)), np.float32)
    flags[0, ends] = 1
    flags[1, ends[[0, 2]]] = 1
    with h5py.File("d3rlpy_v1.h5", "w") as h5:  # as version 1 wrote it
        h5["observations"] = np.concatenate([e["obs"][:-1] for e in episodes])
        h5["actions"], h5["rewards"] = together("acts"), together("rews")
        h5["episode_terminals"], h5["terminals"] = flags
        h5["discrete_action"], h5["version"] = True, "1.0"
    with open("d3rlpy_v1.h5", "rb") as file:  # noqa: PTH123
        assert [e.terminated for e in load_v1(file)] == [True, False, True]
