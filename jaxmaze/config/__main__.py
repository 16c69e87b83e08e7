"""``python -m jaxmaze.config``: print the page of all settings."""

from jaxmaze.config import help as help_lib

if __name__ == "__main__":
    print(help_lib.markdown(), end="")
