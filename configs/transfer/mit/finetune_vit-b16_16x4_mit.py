# Moments in Time, whose videos last 3 s: a clip of 16 x 4 frames is most of one
_base_ = '../kinetics400/finetune_vit-b16_16x4.py'

model = dict(
    data_preprocessor=dict(blending=dict(num_classes=339)), cls_head=dict(num_classes=339))

train_dataloader = dict(
    dataset=dict(
        data_root='data/mit',
        ann_file='mit_train_list_videos.txt',
        data_prefix=dict(video='videos/training')))
val_dataloader = dict(
    dataset=dict(
        data_root='data/mit',
        ann_file='mit_val_list_videos.txt',
        data_prefix=dict(video='videos/validation')))
test_dataloader = val_dataloader
