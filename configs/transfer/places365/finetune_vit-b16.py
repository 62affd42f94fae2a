# Places-365, end-to-end fine-tuning: the recipe for ImageNet-1K of the authors' later code.
# places365_standard/{train,val}/<class>/*.jpg
_base_ = '../imagenet/finetune_vit-b16_mae.py'

data_preprocessor = dict(num_classes=365)
model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-b16_in1k-k400/epoch_800.pth')),
    head=dict(num_classes=365))

train_dataloader = dict(dataset=dict(data_root='data/places365_standard'))
val_dataloader = dict(dataset=dict(data_root='data/places365_standard'))
test_dataloader = val_dataloader
