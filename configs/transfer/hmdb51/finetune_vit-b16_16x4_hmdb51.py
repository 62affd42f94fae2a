# HMDB51, split 1 of 3; for another, set both lists: --cfg-options
# train_dataloader.dataset.ann_file=hmdb51_train_split_2_videos.txt and so on
_base_ = '../kinetics400/finetune_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=51)), cls_head=dict(num_classes=51))

train_dataloader = dict(
    dataset=dict(
        data_root='data/hmdb51',
        ann_file='hmdb51_train_split_1_videos.txt',
        data_prefix=dict(video='videos')))
val_dataloader = dict(
    dataset=dict(
        data_root='data/hmdb51',
        ann_file='hmdb51_val_split_1_videos.txt',
        data_prefix=dict(video='videos')))
test_dataloader = val_dataloader
