# Table 6: the colour augmentation of the target frame alone (the second of the pair)
color_target = dict(
    type='vicmae_mm.PerFrame',
    frames=[1],
    transforms=[
        dict(
            type='mmengine.RandomApply',
            transforms=[
                dict(
                    type='vicmae_mm.ColorJitter',
                    brightness=0.4,
                    contrast=0.4,
                    saturation=0.2,
                    hue=0.1)
            ],
            prob=0.8),
        dict(
            type='mmengine.RandomApply', transforms=[dict(type='vicmae_mm.Grayscale')], prob=0.2),
        dict(
            type='mmengine.RandomApply',
            transforms=[dict(type='vicmae_mm.GaussianBlur', sigma=(0.1, 2.0))],
            prob=0.5),
    ])
