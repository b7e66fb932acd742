"""Where user code runs. A session asks a Runtime (base.py) and need not know which one answers.

base        Runtime, and what it is given and answers
python      the server's side of Python Workers; worker: the side in the user's own process; inprocess: both in a test's
workerd     JavaScript Workers
services    who can be called in a session: RPC between Workers, also across languages (workerd/rpc.py)
outbox, outbox_home        sends that are kept in a file until they are stored
crashes     how soon what has crashed is started again
"""
