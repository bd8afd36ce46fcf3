"""A registry of MLflow's with the model `fraud` in eight versions, and a receiver of the
judge's webhooks that does what the guide for gates and alerts says.

    python3 registry.py GUIDE
"""

import http.server
import json
import re
import sys

import mlflow

with open(sys.argv[1], encoding="utf-8") as guide:
    parts = re.findall(r"```python\n(.*?)```", guide.read(), re.DOTALL)
[lines] = [part for part in parts if "set_registered_model_alias" in part]

mlflow.set_tracking_uri("sqlite:///registry.db")
registry = mlflow.MlflowClient()
registry.create_registered_model("fraud")
for _ in range(8):
    registry.create_model_version("fraud", source="./fraud")


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        exec(lines, {"json": json, "mlflow": mlflow, "body": body})
        champion = registry.get_model_version_by_alias("fraud", "champion")
        print(f"champion is {champion.version}", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
