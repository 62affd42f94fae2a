# Contrast alone on clip pairs, with a 3-D backbone of mmaction2: the Video Swin-T of its
# swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py
_base_ = './contrastive_slowonly-r50_k400.py'

sample_pair = dict(_base_.sample_pair, clip_len=32, frame_interval=2)
train_pipeline = [
    *_base_.open_video, sample_pair, _base_.decode, _base_.crop_and_flip_clips, *_base_.pack
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmaction.SwinTransformer3D',
        arch='tiny',
        pretrained2d=False,  # nothing to inflate
        patch_size=(2, 4, 4),
        window_size=(8, 7, 7),
        drop_path_rate=0.1),
    projector=dict(in_channels=768))

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 128 / 256))
auto_scale_lr = dict(base_batch_size=128)
