"""The worker side of Python Workers: the code that runs in the user's own process and interpreter.

Standard library only, and nothing of the rest of wpy. The worker process imports this folder as the top-level package
`_wpy_worker` (see `__main__.py`); the server imports what both sides have to agree on (`frames`, `rpc_values`, `v8`, ...) as
`wrangler_py.runtime.worker`, and a test's process all of it (runtime/inprocess/). Modules in here therefore import each other
relatively.

    __main__ -> boot -> loop, connection, logs, watchdog        what has to stand before user code can be called
                     -> shims                                   `js`, `pyodide` and two private modules, in sys.modules
                     -> dispatch -> loader -> handlers          LOAD: the user's module and what it exports
                                 -> fetch_event, events         FETCH, QUEUE, SCHEDULED
                                 -> env -> queue_binding        what the user's code finds in `env`
"""
