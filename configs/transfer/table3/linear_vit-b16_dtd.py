# DTD, first split: top-1
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=47)
model = dict(head=dict(num_classes=47))

data = dict(type='DTD', data_root='data/dtd')
train_dataloader = dict(dataset=dict(data, split='trainval'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader
