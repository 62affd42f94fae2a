# MAE on images. For adapt.py, it is what public weights are for configs/adapt.
_base_ = './images.py'

title = 'MAE on images'
about = 'the network that "adapted" starts from; MAE as above, on crops of images.'

model = dict(backbone=dict(mask_ratio=0.75), pooling=None, projector=None, contrast_head=None)

crops = dict(type='vicmae_mm.PerFrame', transforms=[_base_.crop])
train_dataloader = dict(dataset=dict(pipeline=[_base_.load, crops, _base_.pack]))
