"""Tables that a person may have changed: what cannot be used of them ends in one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import UndefinedError

from pipeline.core.errors import UserError

OF_CONTENT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, UndefinedError)
log = logging.getLogger(__name__)


@contextmanager
def may_be_edited(*paths: Path) -> Iterator[None]:
    """Within it an error of content, which these files cause, is a ``UserError`` that names them.

    ``metrics.json``, ``metrics.csv``, ``history.csv`` and ``run.json`` are text without a checksum,
    so that they can be edited. The log has the traceback.
    """
    try:
        yield
    except OF_CONTENT as error:
        log.info("not as it was written", exc_info=True)
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{', '.join(str(path) for path in paths)}: one of these is not as it was written"
            f" ({type(error).__name__}: {reason}); remove it and run the rules train and evaluate."
            " If that does not help, it is a fault of attparse, and the log has its traceback."
        ) from error
