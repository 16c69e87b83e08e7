"""Where experience comes from: environments, one file a backend, and what acts in them."""
