"""Pure functions: networks, distributions, losses and updates.

Every function handles one member (one seed, one set of hyper-parameters); the stages vmap it over
many members. Nothing here does input or output, or imports gymnasium.
"""
