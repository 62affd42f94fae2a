# CIFAR-100: top-1. Its images are RGB, and in no files of their own.
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=100, to_rgb=False)
model = dict(head=dict(num_classes=100))

train_pipeline = [_base_.random_crop, _base_.random_flip, _base_.pack]
val_pipeline = [*_base_.center_crop, _base_.pack]

data = dict(type='CIFAR100', data_root='data/cifar100', download=False)
train_dataloader = dict(dataset=dict(data, split='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data, split='test', pipeline=val_pipeline))
test_dataloader = val_dataloader
