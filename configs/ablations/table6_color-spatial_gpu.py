# Table 6, colour and spatial augmentation, with the colours of _base_/datasets/color_target.py
# changed on the GPU, a batch at a time. Needs kornia.
_base_ = '../vicmae_vit-b16_k400.py'

data_preprocessor = dict(
    type='vicmae_mm.AugmentedPairPreprocessor',
    frames=[1],
    transforms=[
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        dict(type='RandomGrayscale', p=0.2),
        # the kernel reaches to three of the largest deviation
        dict(type='RandomGaussianBlur', kernel_size=(13, 13), sigma=(0.1, 2.0), p=0.5),
    ])
