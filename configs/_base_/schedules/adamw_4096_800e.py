_base_ = '../default_runtime.py'

# Table 7: pre-training setting
train_cfg = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=800)

optim_wrapper = dict(
    type='vicmae_mm.BF16OptimWrapper',
    constructor='vicmae_mm.FusedOptimWrapperConstructor',  # the same steps, in fewer kernels
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * 4096 / 256,  # base lr x batch size / 256
        betas=(0.9, 0.95),
        weight_decay=0.05),
    # No decay on norms, biases and other 1-D parameters. Tokens are decayed, as in the
    # authors' networks; position tables are fixed.
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=40,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=760, eta_min=0.0, by_epoch=True, begin=40, end=800,
         convert_to_iter_based=True),
]

# The unit is pairs over all GPUs. Accumulation adds no negatives: see docs/eight_gpus.md.
auto_scale_lr = dict(base_batch_size=4096)

# lambda: 0 until epoch 200 of 800, then the model's contrast_weight
default_hooks = dict(
    contrast_weight=dict(
        type='vicmae_mm.ContrastWeightHook', schedule='step', begin_ratio=200 / 800))
# The projector is not run while lambda is 0; after that, the hook turns this off.
find_unused_parameters = True
