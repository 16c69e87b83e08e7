"""Settings: every field with its default, type, range and help, declared once in ``sections``."""

from jaxmaze.config.door import (
    ConfigLike,
    check_name,
    expected,
    fits,
    from_dict,
    import_paths,
    make_config,
    to_dict,
    to_settings,
    validate,
)
from jaxmaze.config.settings import FIELDS, STAGES, Settings, get

__all__ = [
    "FIELDS",
    "STAGES",
    "ConfigLike",
    "Settings",
    "check_name",
    "expected",
    "fits",
    "from_dict",
    "get",
    "import_paths",
    "make_config",
    "to_dict",
    "to_settings",
    "validate",
]
