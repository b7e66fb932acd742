"""The dashboard's JSON API, its page and the Prometheus text: one file a resource, no rules in it. See docs/dashboard-api.md."""
