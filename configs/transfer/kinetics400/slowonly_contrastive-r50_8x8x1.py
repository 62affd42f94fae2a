# mmaction2's own SlowOnly-R50, from our contrast-only pre-training instead of random weights,
# tested with the 7 x 3 views of the paper instead of 10 x 3
_base_ = 'mmaction::recognition/slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb.py'

custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
load_from = 'work_dirs/contrastive_slowonly-r50_k400/epoch_800.pth'

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
