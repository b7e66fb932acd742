"""Python Workers in the process and on the event loop of whoever calls them: what tests use.

The worker side (runtime/worker/) and the server side (runtime/python/) are the ones that `wpy dev` uses; frames are
handed over in memory instead of a socket.

    hub.py      the caller's event loop in the place of the worker's own: re-entrant, with timers on the session's clock
    process.py  the two ends of the frames
    modules.py  the user's modules in a process that has others
    runtime.py  the Runtime
"""
