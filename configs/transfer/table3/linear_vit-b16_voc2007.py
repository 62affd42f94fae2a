# PASCAL VOC 2007: 11-point mAP, one classifier per class. Objects marked difficult are negatives in
# training, as in mmpretrain, and ignored in the score.
_base_ = '../../_base_/table3_linear_vit-b16.py'

data_preprocessor = dict(num_classes=20, to_onehot=True)
model = dict(
    head=dict(
        type='MultiLabelLinearClsHead',
        num_classes=20,
        topk=None,
        loss=dict(use_sigmoid=True)))

pack = dict(type='PackInputs', meta_keys=('img_path', 'gt_label_difficult'))
val_pipeline = [_base_.load, *_base_.center_crop, pack]

data = dict(type='VOC', data_root='data/VOC2007')
train_dataloader = dict(dataset=dict(data, split='trainval'))
val_dataloader = dict(dataset=dict(data, split='test', pipeline=val_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='vicmae_mm.ElevenPointMAP')
test_evaluator = val_evaluator
