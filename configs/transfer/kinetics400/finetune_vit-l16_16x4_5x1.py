# Tested in 5 clips x 1 view, the whole frame squashed to a square: 83.1 reported, 86.8 in 7 x 3
_base_ = './finetune_vit-l16_16x4.py'

test_pipeline = [
    _base_.open_video,
    dict(
        type='mmaction.SampleFrames', clip_len=16, frame_interval=4, num_clips=5, test_mode=True),
    _base_.decode,
    dict(type='mmaction.Resize', scale=(224, 224), keep_ratio=False),
    *_base_.pack,  # PackViews would cut the same square three times
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
