# Tested in 5 clips x 1 view, the whole frame squashed to a square: 83.1 reported, 86.8 in 7 x 3
_base_ = './finetune_vit-l16_16x4.py'

test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_5x1))
