# FGVC Aircraft: the mean of the accuracies of the classes
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=100)
model = dict(head=dict(num_classes=100))

data = dict(type='FGVCAircraft', data_root='data/fgvc-aircraft-2013b')
train_dataloader = dict(dataset=dict(data, split='trainval'))
val_dataloader = dict(dataset=dict(data, split='test'))
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True, type='SingleLabelMetric', items=('recall', ), average='macro')
test_evaluator = val_evaluator
