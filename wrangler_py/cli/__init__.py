"""The `wpy` command: one file per command group, or per command where a group is large. It parses and prints, and decides nothing.

groups    which groups there are, and how a command is found without importing the others
where     --config, --env and --persist-to of every command on local state; options, output: what else they share
state     the state folder that a command means, read without leaving a trace
session_client            a running session, asked through its control API
queues, queues_<subject>  `wpy queues`; its ranges and texts: queues_texts
"""
