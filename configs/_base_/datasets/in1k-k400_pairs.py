# Images of ImageNet-1K and videos of Kinetics-400 in one batch, each once per epoch: 1.28 M pairs
# of views, 0.24 M pairs of frames
_base_ = ['./k400_frame_pairs.py', './colors.py']

# One frame of each half of a window of 64 (a clip of 16 x 4): on average 32 apart, 1.07 s at 30 fps
sample_pair = dict(_base_.sample_pair, max_gap=63)
video_pipeline = [
    *_base_.open_video, sample_pair, _base_.decode, _base_.crop_and_flip, _base_.pack
]

image_crop_and_flip = dict(_base_.crop_and_flip, crop_ratio_range=(0.08, 1.0))
colors = [
    # both views
    dict(type='vicmae_mm.PerFrame', transforms=[_base_.color_jitter, _base_.grayscale]),
    dict(
        type='vicmae_mm.PerFrame',
        frames=[0],
        transforms=[dict(type='vicmae_mm.GaussianBlur', sigma=(0.1, 2.0))]),
    dict(
        type='vicmae_mm.PerFrame',
        frames=[1],
        transforms=[
            dict(
                type='mmengine.RandomApply',
                transforms=[dict(type='vicmae_mm.Solarize', threshold=128)],
                prob=0.2),
        ]),
]
image_pipeline = [
    dict(type='vicmae_mm.LoadImagePair'), image_crop_and_flip, *colors, _base_.pack
]

in1k = dict(
    type='vicmae_mm.ImagePairDataset',
    data_root='data/imagenet',
    data_prefix='train',
    pipeline=image_pipeline)
k400 = dict(_base_.train_dataloader.dataset, pipeline=video_pipeline)

train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='vicmae_mm.MixedPairs', datasets=dict(in1k=in1k, k400=k400)))
