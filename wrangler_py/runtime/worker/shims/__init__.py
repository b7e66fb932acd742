"""Stand-ins for the modules that Cloudflare's runtime gives to Python: `js`, `pyodide` and two private ones.

They exist in sys.modules of the worker's process only. wpy installs no top-level `js`, `pyodide` or `workers`.
"""
