# ViC-MAE on images alone: two views of an image instead of two frames of a clip
_base_ = ['./vicmae.py', '../_base_/datasets/colors.py']

title = 'ViC-MAE, images only'
about = 'as many images instead of clips; the two views of an image have other crops and colours.'

# The later recipe's colours, on images only. Blur and solarisation are left out: they would
# remove strokes that are two pixels wide.
colors = [_base_.color_jitter, _base_.grayscale]
load = dict(type='vicmae_mm.LoadImagePair')
images = dict(
    type='vicmae_mm.ImagePairDataset',
    data_root='work_dirs/quickstart',
    data_prefix='stills',
    pipeline=[
        load,
        dict(type='vicmae_mm.PerFrame', transforms=[_base_.crop, *colors]),
        _base_.pack,
    ])
train_dataloader = dict(dataset=dict(_delete_=True, **images))
