"""One run at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = ".lock"


@contextmanager
def sole_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder against every other run; the system lets go of it when this process ends, however it does.

    Raises:
        ValueError: at once, if another run holds it.
    """
    folder = Path(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"another run is writing to {folder}: wait for its end, stop it, or use another folder"
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for it finds out that the file is gone
        lock.release()
        if made and not any(folder.iterdir()):
            folder.rmdir()
