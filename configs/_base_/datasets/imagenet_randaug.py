_base_ = './imagenet_crops.py'

# Table 8: RandAug (9, 0.5); random erasing as in MAE, whose recipe Table 8 repeats
rand_augment = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'))
random_erasing = dict(
    type='RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=[103.53, 116.28, 123.675],  # images are BGR until the data preprocessor
    fill_std=[57.375, 57.12, 58.395])

train_pipeline = [
    _base_.load, _base_.random_crop, _base_.random_flip, rand_augment, random_erasing, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
