# Food-101: top-1
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=101)
model = dict(head=dict(num_classes=101))

data = dict(type='Food101', data_root='data/food-101')
train_dataloader = dict(dataset=dict(data, split='train'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader
