"""Which packages a wheel holds; everything else is in setup.cfg.

``configs/`` lies at the top, where users look for it, and in a wheel inside the package, so that
its files are found by name (``jaxmaze.config.files``).
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jaxmaze*"]), "jaxmaze.configs"],
    package_dir={"jaxmaze.configs": "configs"},
)
