# What every evaluation of a pre-trained checkpoint runs with.
custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='vicmae_mm.SafeCheckpointHook', interval_minutes=10, max_keep_ckpts=1,
        save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    step_seed=dict(type='vicmae_mm.StepSeedHook'),
    bad_videos=dict(type='vicmae_mm.BadVideoHook'),
    finite_loss=dict(type='vicmae_mm.FiniteLossHook', max_skipped=0),
    checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook'),
    pretrained_fit=dict(type='vicmae_mm.PretrainedFitHook'),
    class_count=dict(type='vicmae_mm.ClassCountHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))  # tools/dist_train.sh picks gloo where there is no GPU

log_processor = dict(type='vicmae_mm.GlobalLogProcessor')
vis_backends = [dict(type='LocalVisBackend')]
randomness = dict(seed=0, diff_rank_seed=True)
log_level = 'INFO'
load_from = None
resume = False
