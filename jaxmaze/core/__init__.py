"""Pure functions: networks, distributions, losses and updates.

Everything here works for one member (one seed, one set of hyper-parameters) and is vmapped over
many by the stages. Nothing here does input or output, or imports gymnasium.
"""
