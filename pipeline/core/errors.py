"""The one exception that a user sees: every module may raise it."""


class UserError(Exception):
    """A mistake that its user can mend: one sentence with what, where, expected and what to do."""
