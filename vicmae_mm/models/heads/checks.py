"""Input check shared by the contrastive heads."""
from torch import Tensor

from vicmae_mm.utils.errors import InputError


def check_pairs(online: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (N, D), with the same N and D."""
    if online.dim() != 2 or online.shape != target.shape:
        raise InputError(
            'A contrastive head needs the embeddings of both frames, of one shape (pairs, '
            f'channels), but got {tuple(online.shape)} and {tuple(target.shape)}.')
