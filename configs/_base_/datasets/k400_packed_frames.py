# Frames packed by tools/data/pack_frames.py in the place of videos; what is done to them stays.
_base_ = './k400_frame_pairs.py'

train_pipeline = [
    dict(type='vicmae_mm.SampleFramePair', mode='distant', num_sections=2),
    dict(type='vicmae_mm.VideoDecode'),
    dict(
        type='vicmae_mm.PerFrame',
        transforms=[
            # OpenCV's bicubic costs a fifth of Pillow's, which filters as it scales down
            dict(
                type='mmpretrain.RandomResizedCrop',
                scale=224,
                crop_ratio_range=(0.5, 1.0),
                backend='cv2',
                interpolation='bicubic'),
            dict(type='mmpretrain.RandomFlip', prob=0.5),
        ]),
    dict(type='vicmae_mm.PackFrames', meta_keys=('filename', )),
]

train_dataloader = dict(
    num_workers=6,
    dataset=dict(
        _delete_=True,
        type='vicmae_mm.PackedFrameDataset',
        data_root='data/kinetics400_packed',
        pipeline=train_pipeline))
