"""Controllers with memory; :mod:`jaxmaze.teachers.heuristic` makes them."""
