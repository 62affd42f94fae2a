# The recipe of MAE's released code, which the authors' later code follows
_base_ = './finetune_vit-b16.py'

optim_wrapper = dict(
    optimizer=dict(lr=5e-4 * 1024 / 256), paramwise_cfg=dict(layer_decay_rate=0.65))

cosine = dict(_base_.cosine, eta_min_ratio=1e-6 / 2e-3)
param_scheduler = [_base_.warmup, cosine]
