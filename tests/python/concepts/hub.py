"""A Hugging Face hub of one's own, as far as ``huggingface_hub`` asks for it: repositories in memory, over HTTP.

Small files are sent in the commit, safetensors through the protocol of git LFS, as the real hub wants it. The real hub
also offers its storage Xet, which HF_HUB_DISABLE_XET turns off.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        sha = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        self.messages.append(message)
        return sha

    def files(self, revision: str) -> dict[str, bytes] | None:
        return self.commits.get(self.branches.get(revision, revision))


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """Its repositories, what was stored beside them, and the requests that were made."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""
        self.is_full = False


@contextmanager
def running_hub():
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass

    def _answer(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self._chunks())
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        asked = f"{self.command.replace('HEAD', 'GET')} {path}"
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, asked):
                return method(self, *found.groups())
        return self._send(404, {"error": f"the fake hub does not know {self.command} {path}"})

    def _chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, status, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), "X-Request-Id": "1", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _is_owner(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, name, *, to_write=False):
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._is_owner()):
            self._send(401 if not self._is_owner() else 404, {"error": "Repository not found"},
                       X_Error_Code="RepoNotFound")  # fmt: skip
            return None
        if to_write and not self._is_owner():
            self._send(403, {"error": "Forbidden: you must use a write token"})
            return None
        return repository

    def _files(self, name, revision):
        repository = self._repository(name)
        files = repository and repository.files(revision)
        if repository and files is None:
            self._send(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        return repository, files

    def create(self):
        if not self._is_owner():
            return self._send(401, {"error": "Invalid username or password."})
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        url = {"url": f"{self.hub.url}/{name}", "name": name, "id": "0"}
        if name in self.hub.repositories:
            return self._send(409, url | {"error": "You already created this model repo"})
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repositories[name] = Repository(is_private)
        self.hub.repositories[name].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return self._send(200, url)

    def branch(self, name, branch):
        repository = self._repository(name, to_write=True)
        if repository is None:
            return None
        if branch in repository.branches:
            return self._send(409, {"error": "Reference already exists"})
        repository.branches[branch] = repository.branches["main"]
        return self._send(200, {})

    def validate_yaml(self):
        is_front_matter = json.loads(self.body)["content"].startswith("---\n")
        return self._send(200, {"errors": [] if is_front_matter else [{"message": "no metadata"}], "warnings": []})

    def preupload(self, name, _):
        if self._repository(name, to_write=True) is None:
            return None
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
             "shouldIgnore": False, "oid": None}
            for f in json.loads(self.body)["files"]
        ]  # fmt: skip
        return self._send(200, {"files": files})

    def lfs_batch(self, name):
        if self._repository(name, to_write=True) is None:
            return None
        objects = [
            {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{self.hub.url}/lfs/{o['oid']}"}}}
            for o in json.loads(self.body)["objects"]
        ]
        return self._send(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid):
        if self.hub.is_full or hashlib.sha256(self.body).hexdigest() != oid:
            return self._send(400, {"error": "it is full, or this is something else"})
        self.hub.objects[oid] = self.body
        return self._send(200)

    def commit(self, name, revision):
        repository = self._repository(name, to_write=True)
        if repository is None:
            return None
        is_proposal = "create_pr=1" in self.path
        files, message = dict(repository.files(revision)), ""
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                return self._send(400, {"error": f"unknown operation {line['key']}"})
        sha = repository.commit("refs/pr/1" if is_proposal else revision, files, message)
        url = {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"}
        return self._send(
            200, url | ({"pullRequestUrl": f"{self.hub.url}/{name}/discussions/1"} if is_proposal else {})
        )

    def info(self, name, revision="main"):
        repository, files = self._files(name, revision)
        if files is None:
            return None
        sha = repository.branches.get(revision, revision)
        siblings = [{"rfilename": file} for file in files]
        return self._send(200, {"id": name, "sha": sha, "private": repository.private, "siblings": siblings})

    def tree(self, name, revision):
        _, files = self._files(name, revision)
        if files is None:
            return None
        entries = []
        for path, data in files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
            if path.endswith(".safetensors"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        return self._send(200, entries)

    def resolve(self, name, revision, path):
        repository, files = self._files(name, revision)
        if files is None:
            return None
        if path not in files:
            return self._send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        data = files[path]
        tag = hashlib.sha256(data).hexdigest() if path.endswith(".safetensors") else blob_id(data)
        return self._send(200, data, ETag=f'"{tag}"', X_Repo_Commit=repository.branches.get(revision, revision))


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    ("POST /api/repos/create", _Handler.create),
    ("POST /api/validate-yaml", _Handler.validate_yaml),
    (f"POST /api/models/{_NAME}/branch/(.+)", _Handler.branch),
    (f"POST /api/models/{_NAME}/preupload/(.+)", _Handler.preupload),
    (f"POST /{_NAME}\\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT /lfs/([0-9a-f]+)", _Handler.lfs_put),
    (f"POST /api/models/{_NAME}/commit/(.+)", _Handler.commit),
    (f"GET /api/models/{_NAME}", _Handler.info),
    (f"GET /api/models/{_NAME}/revision/(.+)", _Handler.info),
    (f"GET /api/models/{_NAME}/tree/(.+)", _Handler.tree),
    (f"GET /{_NAME}/resolve/([^/]+|refs/pr/[0-9]+)/(.+)", _Handler.resolve),
]
