# Jitter and grey of Table 6, of the later version and of the quickstart's images
color_jitter = dict(
    type='mmengine.RandomApply',
    transforms=[
        dict(type='vicmae_mm.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
    ],
    prob=0.8)
grayscale = dict(
    type='mmengine.RandomApply', transforms=[dict(type='vicmae_mm.Grayscale')], prob=0.2)
