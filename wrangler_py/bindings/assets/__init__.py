"""Static assets: which file answers a request, with what headers, and when the Worker is asked instead."""
