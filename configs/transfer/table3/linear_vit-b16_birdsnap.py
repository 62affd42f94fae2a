# Birdsnap: top-1
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=500)
model = dict(head=dict(num_classes=500))

data = dict(type='vicmae_mm.Birdsnap', data_root='data/birdsnap')
train_dataloader = dict(dataset=dict(data, split='train'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader
