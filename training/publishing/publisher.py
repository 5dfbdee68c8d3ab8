"""`--push_to_hub`: whole folders while training and the finished one at the end.

It stands in for the Trainer's own pushing, which leaves out the code and the card, takes pickles along, and
writes a configuration without the cache that answering needs: a repository that nobody can load.
"""

import copy
import logging
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants
from transformers import TrainerCallback, TrainingArguments

from closedbook.data.secrets import remember_secret
from closedbook.evaluation.run_record import read_run
from closedbook.training.publishing.folder import finished_files, refuse_private, saved_files
from closedbook.training.publishing.hub import MESSAGE, Destination, check_name, full_name

logger = logging.getLogger(__name__)

STRATEGIES = ("end", "every_save")
NEEDS_PUSHING = ("hub_model_id", "hub_token", "hub_private_repo", "hub_revision", "hub_always_push")


def check_hub_flags(args: TrainingArguments) -> None:
    """Refuse flags of the Hub that contradict each other or would have no effect; asks nobody.

    Raises:
        ValueError: in one line.
    """
    remember_secret(args.hub_token)
    given = [name for name in NEEDS_PUSHING if getattr(args, name)]
    if not args.push_to_hub:
        if given:
            raise ValueError(f"--{given[0]} has no effect without --push_to_hub")
        return
    strategy = str(getattr(args.hub_strategy, "value", args.hub_strategy))
    if strategy not in STRATEGIES:
        raise ValueError(
            f"--hub_strategy {strategy} would upload optimizer.pt, rng_state.pth and training_args.bin, which are "
            "pickles: a reader would have to run whatever is in them. Use end (the finished model) or every_save "
            "(the model at each save as well), and copy checkpoint-* folders yourself to go on elsewhere"
        )
    if args.hub_model_id is not None:
        check_name(args.hub_model_id)
    if constants.is_offline_mode():
        raise ValueError("--push_to_hub needs the network, and HF_HUB_OFFLINE is set: unset it, or upload later")


class Publisher(TrainerCallback):
    """Pushes while training and afterwards, as the flags of the Hub say; one process does.

    Every commit is a whole model folder with its code. A commit while training that fails costs a warning, because
    the run is worth more; the last one says how to try again.
    """

    def __init__(self, destination: Destination, every_save: bool, always: bool):
        self.destination = destination
        self.every_save = every_save
        self.always = always
        self._api = HfApi(token=destination.token)  # for its queue: one commit after the other
        self._pending: Future | None = None

    @classmethod
    def open(cls, args: TrainingArguments) -> "Publisher | None":
        """The publisher that the flags ask for, its repository made and checked; None without --push_to_hub.

        Raises:
            ValueError: if nothing could be uploaded; to be called before anything slow.
        """
        if not args.push_to_hub or args.process_index != 0:
            return None
        name = args.hub_model_id or Path(str(args.output_dir)).absolute().name
        revision, token = args.hub_revision, args.hub_token
        destination = Destination(full_name(name, token), args.hub_private_repo, revision, token)
        destination.open()
        every_save = getattr(args.hub_strategy, "value", args.hub_strategy) == "every_save"
        return cls(destination, every_save, args.hub_always_push)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.every_save or not state.is_world_process_zero:
            return
        if self._pending is not None and not self._pending.done() and not self.always:
            return
        self._wait()
        folder, step = Path(args.output_dir), state.global_step
        try:
            files = saved_files(folder / f"checkpoint-{step}", read_run(folder), step, state.max_steps)
            refuse_private(files, folder)
        except (OSError, ValueError) as error:
            logger.warning("the model of step %d was not uploaded: %s", step, error)
            return
        message = f"Training in progress, step {step}"
        self._pending = self._api.run_as_future(self.destination.upload, files, message)

    def finish(self, folder: str | Path) -> str:
        """Upload the finished folder; returns the URL of the commit.

        Raises:
            ValueError: saying how to upload it afterwards.
        """
        self._wait()
        try:
            return self.destination.upload(finished_files(folder), MESSAGE)
        except ValueError as error:
            again = f"scripts/push.py --model {folder} --hub_model_id {self.destination.repo_id}"
            raise ValueError(f"the model is whole in {folder}, but {error}; then: {again}") from error

    def _wait(self) -> None:
        """Let the commit that is under way end; what went wrong with it is told."""
        if self._pending is not None:
            error = self._pending.exception()
            if error is not None:
                logger.warning("a model was not uploaded while training: %s", error)
            self._pending = None


def without_pushing(args: TrainingArguments) -> TrainingArguments:
    """The arguments as the Trainer is to see them, which would otherwise push by itself."""
    quiet = copy.copy(args)
    quiet.push_to_hub = False
    return quiet
