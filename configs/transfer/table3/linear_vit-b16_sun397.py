# SUN397, first partition: top-1
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=397)
model = dict(head=dict(num_classes=397))

# Some of its .jpg files are of other formats
load = dict(type='LoadImageFromFile', imdecode_backend='pillow')
train_pipeline = [load, _base_.random_crop, _base_.random_flip, _base_.pack]
val_pipeline = [load, *_base_.center_crop, _base_.pack]

data = dict(type='SUN397', data_root='data/SUN397')
train_dataloader = dict(dataset=dict(data, split='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data, split='test', pipeline=val_pipeline))
test_dataloader = val_dataloader
