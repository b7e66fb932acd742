"""The objects behind `env.<BINDING>`, a module a kind; env.py lists them."""
