"""Dense score of an encoder on rendered clips, whose masks of the digit are known."""
import numpy as np
import torch

from vicmae_mm.evaluation.label_propagation import (
    LabelPropagation,
    class_shares,
    likeliest_classes,
)
from vicmae_mm.evaluation.region_similarity import average_objects, score_objects
from vicmae_mm.models import Encoder

from .clips import NUM_FRAMES
from .digit_scenes import World, _place, draw_scene, random_pose  # its text is in a stamp


@torch.no_grad()
def score_propagation(encoder: Encoder | None, world: World, seed: int,
                      num_clips: int = 30) -> dict[str, float]:
    """Propagate the first mask of clips rendered as those of pre-training, but not compressed.

    A mask is where there is more ink than paper; the input is as large as the clips.

    Args:
        encoder: Of images; None leaves the first mask where it is.
        world: Different digits of it are drawn at random.
        seed: Determines digits and poses.
        num_clips: Clips; the scores are :func:`average_objects` of them, 0 to 1.
    """
    rng, scores = np.random.default_rng(seed), []
    for digit in rng.permutation(len(world.labels))[:num_clips].tolist():
        start, end = random_pose(rng), random_pose(rng)
        poses = [start.towards(end, share) for share in np.linspace(0, 1, NUM_FRAMES)]
        masks = np.stack([_place(world.glyphs[digit], pose) > 0.5 for pose in poses]).astype('u1')
        predicted = np.broadcast_to(masks[0], masks.shape)
        if encoder is not None:
            frames = torch.tensor(np.stack([draw_scene(world, digit, pose) for pose in poses]))
            maps = encoder.eval().feature_map(frames.permute(0, 3, 1, 2).to(encoder.mean.device))
            first = class_shares(torch.tensor(masks[0]), maps.shape[2:])
            predicted = np.stack([likeliest_classes(labels, masks.shape[1:])
                                  for labels in LabelPropagation()(maps, first)])
        scores += score_objects(masks, predicted)
    return average_objects(scores)
