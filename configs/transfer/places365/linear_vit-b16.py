# Places-365, linear evaluation: Table 9. places365_standard/{train,val}/<class>/*.jpg
_base_ = '../imagenet/linear_vit-b16.py'

data_preprocessor = dict(num_classes=365)
model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-b16_in1k-k400/epoch_800.pth')),
    head=dict(num_classes=365))

train_dataloader = dict(dataset=dict(data_root='data/places365_standard'))
val_dataloader = dict(dataset=dict(data_root='data/places365_standard'))
test_dataloader = val_dataloader
