# mmaction2's own Video Swin-T, from our contrast-only pre-training instead of ImageNet's weights,
# tested with the 7 x 3 views of the paper instead of 4 x 3
_base_ = ('mmaction::recognition/swin/'
          'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py')

custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
load_from = 'work_dirs/contrastive_swin3d-t_k400/epoch_800.pth'
# it would download and inflate ImageNet's, to be overwritten
model = dict(backbone=dict(pretrained=None, pretrained2d=False))

test_pipeline = [
    dict(step, num_clips=7) if step['type'] == 'SampleFrames' else step
    for step in _base_.test_pipeline
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# a resumed run continues as if it had never stopped
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop')
train_dataloader = dict(sampler=dict(type='vicmae_mm.EpochSampler'))

default_hooks = dict(
    checkpoint=dict(type='vicmae_mm.SafeCheckpointHook'),
    step_seed=dict(type='vicmae_mm.StepSeedHook'),
    # no silent start from random weights
    checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook'),
    pretrained_fit=dict(type='vicmae_mm.PretrainedFitHook'),
    class_count=dict(type='vicmae_mm.ClassCountHook'))
