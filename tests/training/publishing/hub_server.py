"""A small Hub on this machine: what `huggingface_hub` says over HTTP to make, fill, list and read repositories.

Everything is kept in memory. Tokens say what they may do: "hf_write..." writes, "hf_read..." reads.
"""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

OWNER = "ada"
LARGE = (".safetensors", ".bin", ".pt", ".pth")  # what the Hub wants through LFS


class Repository:
    def __init__(self, private: bool):
        self.private = private
        self.branches: dict[str, list[tuple[str, dict[str, bytes]]]] = {"main": [("0" * 40, {})]}

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        commits = self.branches[branch]
        oid = hashlib.sha1(f"{branch} {len(commits)}".encode()).hexdigest()
        commits.append((oid, commits[-1][1] | files))
        return oid

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        every = [commit for commits in self.branches.values() for commit in commits]
        return next((commit for commit in every if commit[0] == revision), None)


class Hub:
    """The server; `repositories` is what it holds, `requests` the method and path of every request."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse_commits = False
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        found = self.repositories[repo_id].at(revision)
        assert found is not None
        return found[1]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, answer in ROUTES:
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                return answer(self, body, *found.groups())
        return self.say(404, {"error": f"no such page: {path}"}, code="EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def say(self, status: int, content: object, code: str | None = None, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        named = {"Content-Length": str(len(data)), "X-Request-Id": "test"} | headers
        if code:
            named["X-Error-Code"] = code
        if isinstance(content, dict) and "error" in content:
            named["X-Error-Message"] = content["error"]
        for name, value in named.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def role(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return next((role for role in ("write", "read") if token.startswith(f"hf_{role}")), None)

    def may(self, role: str) -> bool:
        held = self.role()
        if held is None:
            self.say(401, {"error": "Invalid credentials"})
        elif role == "write" and held != "write":
            self.say(403, {"error": "this token may only read"})
        else:
            return True
        return False

    def repository(self, repo_id: str) -> Repository | None:
        found = self.hub.repositories.get(repo_id)
        if found is None or (found.private and self.role() is None):
            self.say(404, {"error": "Repository not found"}, code="RepoNotFound")
            return None
        return found

    def who(self, body: bytes) -> None:
        if self.may("read"):
            self.say(200, {"type": "user", "name": OWNER, "auth": {"accessToken": {"role": self.role()}}})

    def create(self, body: bytes) -> None:
        if not self.may("write"):
            return
        asked = json.loads(body)
        repo_id = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if not repo_id.startswith(f"{OWNER}/"):
            return self.say(403, {"error": "you may not write to this namespace"})
        if repo_id in self.hub.repositories:
            return self.say(
                409, {"error": "You already created this model repo", "url": f"{self.hub.endpoint}/{repo_id}"}
            )
        self.hub.repositories[repo_id] = Repository(asked.get("visibility") == "private")
        self.say(200, {"url": f"{self.hub.endpoint}/{repo_id}", "id": repo_id})

    def check(self, body: bytes, repo_id: str, write: str | None) -> None:
        if self.repository(repo_id) and self.may("write" if write else "read"):
            self.say(200, {})

    def branch(self, body: bytes, repo_id: str, name: str) -> None:
        repository = self.repository(repo_id)
        if repository is None or not self.may("write"):
            return
        if name in repository.branches:
            return self.say(409, {"error": "Reference already exists"})
        repository.branches[name] = list(repository.branches["main"])
        self.say(200, {})

    def validate(self, body: bytes) -> None:
        self.say(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo_id: str, revision: str) -> None:
        if self.repository(repo_id) and self.may("write"):
            kinds = {True: "lfs", False: "regular"}
            files = [
                {"path": file["path"], "uploadMode": kinds[file["path"].endswith(LARGE)], "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.say(200, {"files": files})

    def batch(self, body: bytes, repo_id: str) -> None:
        if self.may("write"):
            objects = [
                asked | {"actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{asked['oid']}"}}}
                for asked in json.loads(body)["objects"]
            ]
            self.say(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.large[oid] = body
        self.say(200, {})

    def commit(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.repository(repo_id)
        if repository is None or not self.may("write"):
            return
        if self.hub.refuse_commits:
            return self.say(403, {"error": "storage limit reached"})
        if revision not in repository.branches:
            return self.say(404, {"error": "no such branch"}, code="RevisionNotFound")
        files = {}
        for line in body.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            elif item["key"] == "lfsFile":
                files[item["value"]["path"]] = self.hub.large[item["value"]["oid"]]
        oid = repository.commit(revision, files)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{oid}"
        self.say(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def info(self, body: bytes, repo_id: str, revision: str | None) -> None:
        repository = self.repository(repo_id)
        found = repository and repository.at(revision or "main")
        if repository and not found:
            return self.say(404, {"error": "no such revision"}, code="RevisionNotFound")
        if repository and found:
            told = {"_id": "1", "id": repo_id, "sha": found[0], "private": repository.private, "tags": []}
            self.say(200, told | {"siblings": [{"rfilename": name} for name in found[1]]})

    def tree(self, body: bytes, repo_id: str, revision: str, under: str | None) -> None:
        repository = self.repository(repo_id)
        found = repository and repository.at(revision)
        if found:
            entries = []
            for name, content in found[1].items():
                oid = hashlib.sha1(content).hexdigest()
                if name.startswith(f"{under.strip('/')}/" if under and under.strip("/") else ""):
                    entries.append({"type": "file", "path": name, "size": len(content), "oid": oid})
            self.say(200, entries) if entries else self.say(404, {"error": "no such path"}, code="EntryNotFound")
        elif repository:
            self.say(404, {"error": "no such revision"}, code="RevisionNotFound")

    def resolve(self, body: bytes, repo_id: str, revision: str, name: str) -> None:
        repository = self.repository(repo_id)
        if repository is None:
            return
        found = repository.at(revision)
        if found is None:
            return self.say(404, {"error": "no such revision"}, code="RevisionNotFound")
        if name not in found[1]:
            return self.say(404, {"error": "Entry not found"}, code="EntryNotFound", X_Repo_Commit=found[0])
        content = found[1][name]
        self.say(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=found[0])


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (r"GET /api/whoami-v2", _Handler.who),
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (rf"GET /api/models/{NAME}/auth-check(/write)?", _Handler.check),
    (rf"POST /api/models/{NAME}/branch/(.+)", _Handler.branch),
    (rf"POST /api/models/{NAME}/preupload/(.+)", _Handler.preupload),
    (rf"POST /api/models/{NAME}/commit/(.+)", _Handler.commit),
    (rf"GET /api/models/{NAME}/tree/([^/]+)(/.*)?", _Handler.tree),
    (rf"GET /api/models/{NAME}(?:/revision/(.+))?", _Handler.info),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /lfs/(\w+)", _Handler.store),
    (rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
