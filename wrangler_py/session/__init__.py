"""The emulator: the rooms of one session, built from a config, a state folder and a clock, and tied together.

emulator                  puts the rooms together; a new room is added here
hosted_workers, runtimes  the Workers with their consumers, and how a changed config reaches them
crons, workflows, durable, small_bindings, javascript   how each room reaches the Workers
clockwork                 what the session's clock drives
attaching, neighbours     other sessions on the same state folder
snapshots                 whole states under a name; state_browser, object_files: state to look at
control, dashboard        what its APIs can do
"""
