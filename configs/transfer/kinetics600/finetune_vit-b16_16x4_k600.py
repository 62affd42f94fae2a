_base_ = '../kinetics400/finetune_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=600)), cls_head=dict(num_classes=600))

train_dataloader = dict(
    dataset=dict(data_root='data/kinetics600', ann_file='kinetics600_train_list_videos.txt'))
val_dataloader = dict(
    dataset=dict(data_root='data/kinetics600', ann_file='kinetics600_val_list_videos.txt'))
test_dataloader = val_dataloader
