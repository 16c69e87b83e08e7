"""The error that a user can mend: shown as one line, without a traceback."""


class UserError(ValueError):
    """Input that cannot be used; the message says what is wrong and what would be right."""


class ActionError(UserError):
    """A policy gave what is no action of the environment.

    Attributes:
      row: the row of the observations that it gave this for; None if it is not known.
    """

    def __init__(self, message: str, row: int | None = None):
        super().__init__(message)
        self.row = row


class WorkerError(RuntimeError):
    """A worker process died, or an environment raised, in a worker or in this process.

    Attributes:
      details: the traceback; empty if a worker died without one.
    """

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details
