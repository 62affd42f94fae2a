# mmaction2's own TSN on its ResNet-50, from our contrast-only pre-training instead of ImageNet
_base_ = 'mmaction::recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py'

custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
load_from = 'work_dirs/contrastive_resnet50_k400/epoch_800.pth'
model = dict(backbone=dict(pretrained=None))  # it would download ImageNet's, to be overwritten

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
