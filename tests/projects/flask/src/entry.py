from flask import Flask, jsonify, request
from pyodide.ffi import run_sync
from workers import env, wsgi

app = Flask(__name__)


@app.route("/")
def home():
    return jsonify(who=env.WHO, agent=request.headers.get("User-Agent"), args=request.args)


@app.route("/form", methods=["POST"])
def form():
    return jsonify(form=request.form, files={name: file.read().decode() for name, file in request.files.items()})


@app.route("/stream")
def stream():
    return app.response_class((f"line {number}\n" for number in range(3)), mimetype="text/plain")


@app.route("/wait")
def wait():
    import asyncio

    return {"waited": run_sync(asyncio.sleep(0.001, "yes"))}


Default = wsgi.entrypoint(app)
