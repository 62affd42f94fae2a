default_scope = 'mmpretrain'
custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='vicmae_mm.SafeCheckpointHook', interval_minutes=10, max_keep_ckpts=3, save_last=True),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    step_seed=dict(type='vicmae_mm.StepSeedHook'),
    checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook'),
    # for load_from and model.backbone.init_cfg: all of the encoder is loaded, or training stops
    pretrained_fit=dict(type='vicmae_mm.PretrainedFitHook', allow_untrained=True),
    sample_independence=dict(type='vicmae_mm.SampleIndependenceHook'),
    gradient_coverage=dict(type='vicmae_mm.GradientCoverageHook'),
    finite_loss=dict(type='vicmae_mm.FiniteLossHook', max_skipped=0),
    collapse=dict(type='vicmae_mm.CollapseHook'),
    bad_videos=dict(type='vicmae_mm.BadVideoHook'),
    reconstruction=dict(type='vicmae_mm.ReconstructionHook', interval=20),
    # e.g. default_hooks.probe.images=/data/photos (class folders), docs/probes.md
    probe=dict(type='vicmae_mm.ProbeHook', images=None, pairs=None),
    curves=dict(type='vicmae_mm.CurvesHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))  # tools/dist_train.sh picks gloo where there is no GPU

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

# One seed for all ranks: each draws the masks of the whole batch and keeps those of its samples.
# The order of the videos, their frames and masks are the same for any number of processes.
randomness = dict(seed=0, diff_rank_seed=False)

# What has "loss" in its name is averaged over the interval and over all processes; these, too
log_processor = dict(
    type='vicmae_mm.GlobalLogProcessor',
    window_size=20,
    custom_cfg=[
        dict(data_src=name, method_name='mean', window_size=20)
        for name in ('recon', 'contrast', 'embedding_std', 'embedding_rank', 'pair_accuracy')
    ])
log_level = 'INFO'
load_from = None
resume = False
