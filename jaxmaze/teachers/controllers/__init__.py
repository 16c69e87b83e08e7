"""Controllers that remember; :mod:`jaxmaze.teachers.heuristic` gives them out."""
