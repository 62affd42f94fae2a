# mmaction2's own TSN on a Swin, from our contrast-only pre-training instead of ImageNet. The
# stock config names timm's Swin-B: this is mmpretrain's Swin-T, the one that we pre-train.
_base_ = ('mmaction::recognition/tsn/custom_backbones/'
          'tsn_imagenet-pretrained-swin-transformer_8xb32-1x1x3-100e_kinetics400-rgb.py')

custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
load_from = 'work_dirs/contrastive_swin-t_k400/epoch_800.pth'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.SwinTransformer', arch='tiny', img_size=224),
    cls_head=dict(in_channels=768))

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
