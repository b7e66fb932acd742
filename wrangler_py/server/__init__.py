"""The front door: HTTP turned into calls, and results into JSON. No rules.

front_door     whose a request is; http, websockets: how it comes in
guard          who may ask: Host and Origin
triggers       the paths that run `scheduled()` by hand
control        the API of the commands
rest/          Cloudflare's REST API v4; its token: rest/auth.py
dashboard_api/ the dashboard's API and page; its token: dashboard_api/door.py, its stream (SSE): dashboard_api/stream.py
"""
