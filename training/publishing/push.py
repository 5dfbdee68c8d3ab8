"""The command that uploads a finished run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from closedbook.training.command_line import parse_flags
from closedbook.training.publishing.hub import push_model_folder


@dataclass
class PushArguments:
    """Which folder, and where to; the token is that of HF_TOKEN or of `hf auth login`."""

    model: str = field(metadata={"help": "folder of a finished run, or of a converted checkpoint"})
    hub_model_id: str = field(metadata={"help": "name on the Hub: owner/name, or a name of your own account"})
    hub_private_repo: bool = field(default=False, metadata={"help": "make a private repository"})
    hub_revision: str | None = field(default=None, metadata={"help": "branch, made where it is missing"})


def main(argv: Sequence[str]) -> str:
    (args,) = parse_flags(PushArguments, argv)
    url = push_model_folder(args.model, args.hub_model_id, args.hub_private_repo or None, args.hub_revision)
    print(f"uploaded {args.model}: {url}")
    return url
