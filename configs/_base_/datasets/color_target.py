# Table 6: the colour augmentation of the target frame alone (the second of the pair)
_base_ = './colors.py'

color_target = dict(
    type='vicmae_mm.PerFrame',
    frames=[1],
    transforms=[
        _base_.color_jitter,
        _base_.grayscale,
        dict(
            type='mmengine.RandomApply',
            transforms=[dict(type='vicmae_mm.GaussianBlur', sigma=(0.1, 2.0))],
            prob=0.5),
    ])
