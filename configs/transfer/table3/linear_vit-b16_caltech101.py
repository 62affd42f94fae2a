# Caltech-101: the mean of the accuracies of the classes
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=102)
model = dict(head=dict(num_classes=102))

data = dict(type='Caltech101', data_root='data/caltech-101')
train_dataloader = dict(dataset=dict(data, split='train'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True, type='SingleLabelMetric', items=('recall', ), average='macro')
test_evaluator = val_evaluator
