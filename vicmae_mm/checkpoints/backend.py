"""A file backend of mmengine that writes files atomically."""
import shutil
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import UserError


class CheckpointWriteError(UserError, OSError):
    """A checkpoint could not be written; the file that it would have replaced is unchanged."""


class AtomicFileBackend(LocalBackend):
    """Local files that appear only once they are complete."""

    NAME = 'vicmae_mm.atomic_files'

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            CheckpointWriteError: If that fails; names the path and the bytes needed and free.
        """
        try:
            atomic_write_bytes(filepath, [obj])
        except OSError as error:
            raise CheckpointWriteError(
                f'{filepath} could not be written ({error.strerror or error}): it needs '
                f'{len(obj):,} bytes, {_free(Path(filepath).parent)}.') from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        atomic_write_bytes(filepath, [obj.encode(encoding)])


def _free(folder: Path) -> str:
    try:
        return f'{shutil.disk_usage(folder).free:,} are free'
    except OSError:
        return f'{folder} cannot be reached'


register_backend(AtomicFileBackend.NAME, AtomicFileBackend, force=True)
