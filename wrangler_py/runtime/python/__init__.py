"""The server's side of Python Workers: their processes, spoken to in frames (runtime/worker/frames.py).

runtime   -> processes     fetch, queue, scheduled, RPC; what a reload does: a warm spare loads the code, and is swapped in
processes -> process       one process and its frames; spawn: how it starts; process_tree: how it ends with all it started
pending, time_limits       an event that runs in it, and for how long it may
bindings  -> storage_calls, session_calls   what a Worker asks of the session
load_spec, binding_specs   what a process is told when it loads a Worker
objects                    which process has a Worker's Durable Objects
clocked                    a Worker whose own clock follows the session's
"""
