"""The error that a user can mend: shown as one line, without a traceback."""


class UserError(ValueError):
    """Input that cannot be used; the message says what is wrong and what would be right."""
