# Frames packed by tools/data/pack_frames.py instead of videos; what is done to them is the same.
_base_ = './k400_frame_pairs.py'

open_video = []  # there is none
crop_and_flip = dict(
    type='vicmae_mm.PerFrame',
    transforms=[
        dict(
            type='mmpretrain.RandomResizedCrop',
            scale=224,
            crop_ratio_range=(0.5, 1.0),
            # Its bicubic costs a fifth of Pillow's, which filters as it scales down.
            backend='cv2',
            interpolation='bicubic'),
        dict(type='mmpretrain.RandomFlip', prob=0.5),
    ])
train_pipeline = [*open_video, _base_.sample_pair, _base_.decode, crop_and_flip, _base_.pack]

train_dataloader = dict(
    num_workers=6,
    dataset=dict(
        _delete_=True,
        type='vicmae_mm.PackedFrameDataset',
        data_root='data/kinetics400_packed',
        pipeline=train_pipeline))
