"""A repository on the Hub: made, checked before anything slow, and written in one commit; refusals in one line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from closedbook.data.secrets import remember_secret, withhold
from closedbook.training.publishing.folder import finished_files

MESSAGE = "Upload a finished model of closedbook"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Destination:
    """Where to on the Hub.

    Attributes:
        repo_id: "owner/name".
        private: whether a repository that is made now is private; None leaves it to the owner's settings.
        revision: branch, made where it is missing; None is the main one.
        token: with the right to write; None is that of `HF_TOKEN` or `hf auth login`. Never printed.
    """

    repo_id: str
    private: bool | None = None
    revision: str | None = None
    token: str | None = field(default=None, repr=False)

    def open(self) -> None:
        """Make the repository and the branch where they are missing, and check the right to write.

        Raises:
            ValueError: for a token without that right, a public repository that is to be private, a name that
                the Hub does not take, or no connection.
        """
        api = HfApi(token=self.token)
        said("making", self.repo_id, lambda: api.create_repo(self.repo_id, private=self.private, exist_ok=True))
        said("writing to", self.repo_id, lambda: api.auth_check(self.repo_id, write=True))
        if self.private and not said("reading", self.repo_id, lambda: api.repo_info(self.repo_id).private):
            raise ValueError(
                f"{self.repo_id} is public: make it private in its settings on the Hub, or give another name"
            )
        if self.revision and not self.revision.startswith("refs/pr"):
            branch = self.revision
            said("branching", self.repo_id, lambda: api.create_branch(self.repo_id, branch=branch, exist_ok=True))

    def upload(self, files: Mapping[str, bytes | Path], message: str) -> str:
        """Upload in one commit, so that nobody ever loads a half; returns its URL.

        Raises:
            ValueError: as `open` does.
        """
        operations = [
            CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in files.items()
        ]
        commit = said(
            "uploading to",
            self.repo_id,
            lambda: HfApi(token=self.token).create_commit(
                self.repo_id, operations, commit_message=message, revision=self.revision
            ),
        )
        return commit.commit_url


def push_model_folder(
    folder: str | Path,
    repo_id: str,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> str:
    """Upload the folder of a finished run, as others shall load it; returns the URL of the commit.

    Args:
        folder: of a run that ended, or of a converted checkpoint.
        repo_id: "owner/name", or a name of your own account.
        private, revision, token: as `Destination` has them.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the folder is not finished or holds something private, before anything is uploaded; or as
            `Destination.open` does.
    """
    remember_secret(token)
    files = finished_files(folder)
    destination = Destination(full_name(repo_id, token), private, revision, token)
    destination.open()
    return destination.upload(files, MESSAGE)


def check_name(repo_id: str) -> None:
    """Refuse what is no name of a repository, such as its URL.

    Raises:
        ValueError: saying what a name is.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{withhold(repo_id)!r} is no name on the Hub: write owner/name") from error


def full_name(repo_id: str, token: str | None) -> str:
    """The name with its owner, who is the owner of the token where none is given.

    Raises:
        ValueError: for a name that is none, or a token that the Hub does not know.
    """
    check_name(repo_id)
    if constants.is_offline_mode():
        raise ValueError("uploading needs the network, and HF_HUB_OFFLINE is set: unset it")
    owner = said("asking who you are for", repo_id, lambda: HfApi(token=token).whoami()["name"])
    return repo_id if "/" in repo_id else f"{owner}/{repo_id}"


def said(doing: str, repo_id: str, ask: Callable[[], Answer]) -> Answer:
    """What the Hub answers; its refusals, and a network that is down, in one line without the token.

    Raises:
        ValueError: with what went wrong and what to do.
    """
    try:
        return ask()
    except (HTTPError, OSError, RuntimeError) as error:
        below = error.__cause__  # of a large file's upload, which the library wraps
        cause = below if isinstance(below, HTTPError) and type(error) is RuntimeError else error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        todo = {401: "log in with `hf auth login` or set HF_TOKEN", 403: "use a token that may write there"}
        remedy = todo.get(status or 0, "check the name, the token and the network")
        told = withhold(" ".join(str(getattr(cause, "server_message", None) or cause).split()))
        shown = told if len(told) <= 200 else told[:197] + "..."
        raise ValueError(
            f"{doing} {repo_id} on the Hub failed ({status or type(cause).__name__}: {shown}): {remedy}"
        ) from error
