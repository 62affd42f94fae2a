"""Tiny datasets of labelled videos, in the layouts of DAVIS-2017, VIP and JHMDB."""
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = 24, 40  # px of a frame, height and width


def scene(number: int, objects: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A frame of coloured squares that move 2 px a frame, and its mask."""
    frame = np.full((*SIZE, 3), 40, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    for label in range(1, objects + 1):
        top, left = 2 + 9 * (label - 1), 2 + 2 * number + 3 * label
        frame[top:top + 8, left:left + 8] = np.roll([220, 30, 90], label)
        mask[top:top + 8, left:left + 8] = label
    return frame, mask


def make_masks(root: Path, list_file: str, images: str, masks: str, names=('b-video', 'a_video'),
               frames: int = 4) -> Path:
    """The layout of DAVIS and VIP, for names of their files and folders."""
    (root / list_file).parent.mkdir(parents=True)
    (root / list_file).write_text(''.join(f'{name}\n' for name in names))
    for name in names:
        for folder in (images, masks):
            (root / folder / name).mkdir(parents=True)
        for number in range(frames):
            frame, mask = scene(number)
            Image.fromarray(frame).save(root / images / name / f'{number:05d}.jpg', quality=95)
            Image.fromarray(mask).save(root / masks / name / f'{number:05d}.png')
    return root


def make_davis(root: Path, **options) -> Path:
    return make_masks(root, 'ImageSets/2017/val.txt', 'JPEGImages/480p', 'Annotations/480p',
                      **options)


def make_vip(root: Path, **options) -> Path:
    return make_masks(root, 'lists/val_videos.txt', 'Images', 'Annotations/Category_ids', **options)


def make_jhmdb(root: Path, frames: int = 4) -> Path:
    """One test video of one action, and one of training that does not exist."""
    images, joints = root / 'Rename_Images/wave/me', root / 'joint_positions/wave/me'
    for folder in (images, joints, root / 'splits'):
        folder.mkdir(parents=True)
    (root / 'splits/wave_test_split1.txt').write_text('me.avi 2 \nyou.avi 1 \n')
    (root / 'splits/wave_test_split2.txt').write_text('you.avi 2 \n')
    right = np.array([1, 0])[:, None, None]
    corner = np.array([4, 5])[:, None, None] + 2 * np.arange(frames) * right
    spread = np.stack(np.meshgrid(np.arange(5) * 3, np.arange(3) * 4)).reshape(2, 15, 1)
    savemat(joints / 'joint_positions.mat', dict(pos_img=corner + spread + 1.))
    for number in range(frames):
        Image.fromarray(scene(number)[0]).save(images / f'{number + 1:05d}.png')
    return root
