# ImageNet-1K, V-JEPA's attentive probe of ViT-B/16: a query attends to the patch tokens of the
# frozen encoder. AutoAugment; 1024 images = 8 GPUs x 128
_base_ = [
    '../../_base_/datasets/imagenet_crops.py',
    '../../_base_/models/imagenet_linear_vit-b16.py',
    '../../_base_/schedules/attentive_adamw_20e.py',
    '../../_base_/imagenet_runtime.py',
]

model = dict(
    backbone=dict(out_type='featmap'),  # or 'raw': the class token as well
    neck=dict(_delete_=True, type='vicmae_mm.AttentivePooling', in_channels=768, num_heads=12),
    head=dict(init_cfg=None))

train_pipeline = [
    _base_.load,
    _base_.random_crop,
    _base_.random_flip,
    dict(
        type='AutoAugment',
        policies='imagenet',
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    _base_.pack,
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=1024)
