# Two distant clips of a video, each cropped and flipped on its own, for 3-D backbones.
_base_ = './k400_frame_pairs.py'

sample_pair = dict(
    type='vicmae_mm.SampleClipPair', clip_len=8, frame_interval=8, mode='distant', num_sections=2)
# not crop_and_flip, with which mmengine would merge it
crop_and_flip_clips = dict(
    type='vicmae_mm.PerClip',
    transforms=[
        dict(
            _base_.crop_and_flip,
            backend='cv2',  # the fastest; does not smooth
            share_random_params=True),  # the same for all frames of a clip
    ])
pack = [dict(type='mmaction.FormatShape', input_format='NCTHW'), _base_.pack]
train_pipeline = [
    *_base_.open_video, sample_pair, _base_.decode, crop_and_flip_clips, *pack
]

train_dataloader = dict(
    batch_size=32,  # pairs per GPU: 8 GPUs x 32 = 256; each has 16 times the frames of a frame pair
    dataset=dict(pipeline=train_pipeline))
