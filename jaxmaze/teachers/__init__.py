"""Teachers that come with the library: one file each, found by its name.

A teacher's module has ``make(env, seed)``, which takes an
:class:`jaxmaze.envs.environment.EnvInfo` and gives a function from a numpy batch of observations
``[N, ...]`` to actions ``[N, ...]``.
"""
