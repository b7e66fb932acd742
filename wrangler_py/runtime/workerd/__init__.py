"""JavaScript Workers, in the real workerd: one for a session.

runtime   -> host          a Worker, and the workerd that runs it with all others; what a reload does
host      -> generation    one workerd with one version of all Workers -> process
bundle    -> module_rules, node_modules    esbuild, as wrangler calls it; locate: where it and workerd are found
workerd_config -> capnp_text               where workerd's config is made
dispatch, rpc, sockets, workflows, shim/   the way in: batches, crons, calls, WebSockets, and their JavaScript halves
loopback  -> adapters/     the way out: what bindings reach; kept_sends: sends that follow one another
sourcemap, logs            what is printed, with the user's own lines
"""
