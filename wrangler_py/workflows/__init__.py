"""Workflows: instances whose steps are durable. `engine` runs them, `steps` answers what a running one asks, `tables` keeps
them; it knows no runtime, only someone who runs `run()` (engine.Runner).
"""
