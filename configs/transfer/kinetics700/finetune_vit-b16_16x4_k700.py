_base_ = '../kinetics400/finetune_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=700)), cls_head=dict(num_classes=700))

train_dataloader = dict(
    dataset=dict(data_root='data/kinetics700', ann_file='kinetics700_train_list_videos.txt'))
val_dataloader = dict(
    dataset=dict(data_root='data/kinetics700', ann_file='kinetics700_val_list_videos.txt'))
test_dataloader = val_dataloader
