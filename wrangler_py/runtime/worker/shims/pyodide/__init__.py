"""The package `pyodide`, as far as Python Workers see it. See https://pyodide.org/en/stable/usage/api/python-api.html."""

#: The version that this emulation follows where versions differ; set again from the compatibility date of a worker.
__version__ = "0.28.2"

__all__ = ["__version__", "code", "ffi", "http", "webloop"]
