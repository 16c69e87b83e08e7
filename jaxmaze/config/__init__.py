"""Settings. Each field's default, type, range and help are declared once, in ``sections``."""

from jaxmaze.config.door import (
    OPEN,
    ConfigLike,
    check_name,
    expected,
    fits,
    flat,
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
    "OPEN",
    "STAGES",
    "ConfigLike",
    "Settings",
    "check_name",
    "expected",
    "fits",
    "flat",
    "from_dict",
    "get",
    "import_paths",
    "make_config",
    "to_dict",
    "to_settings",
    "validate",
]
