"""Errors that are expected, as lists of strings: how they come from workers to the driver, unpickled."""

from __future__ import annotations

from etl_ray import errors
from etl_ray.errors import EtlRayError


def describe_error(failure: EtlRayError) -> list[str]:
    """Return the class and the arguments of an exception; of a private class the nearest public one and its message."""
    kind = type(failure)
    if getattr(errors, kind.__name__, None) is kind:
        return [kind.__name__, *(str(arg) for arg in failure.args)]
    public = next(base for base in kind.__mro__ if getattr(errors, base.__name__, None) is base)
    return [public.__name__, str(failure)]


def restore_error(described: list[str]) -> EtlRayError:
    """Return the exception that a worker has described by its class and arguments."""
    name, *args = described
    kind = getattr(errors, name)
    if kind is errors.SegmentError:
        return errors.SegmentError(args[0], int(args[1]), args[2])
    found: EtlRayError = kind(*args)
    return found
