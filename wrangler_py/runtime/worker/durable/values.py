"""Stored values: structured clones in V8's own format, as workerd stores them."""

from ..v8 import deserialize as decode
from ..v8 import serialize as encode

__all__ = ["decode", "encode"]
