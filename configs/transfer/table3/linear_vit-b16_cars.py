# Stanford Cars: top-1
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=196)
model = dict(head=dict(num_classes=196))

data = dict(type='StanfordCars', data_root='data/Stanford_Cars')
train_dataloader = dict(dataset=dict(data, split='train'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader
