"""The simulators behind env.<BINDING>; they know nothing of runtimes."""
