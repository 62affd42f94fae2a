# The authors' later code for ViT-L/16: 86.0 reported after in1k-k400, 87.1 after in1k-k710-mit
_base_ = './finetune_vit-l16.py'

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/vicmae-v3_vit-l16_in1k-k400/epoch_800.pth')))

optim_wrapper = dict(
    optimizer=dict(lr=5e-4 * 1024 / 256), paramwise_cfg=dict(layer_decay_rate=0.65))

cosine = dict(_base_.cosine, eta_min_ratio=1e-6 / 2e-3)
param_scheduler = [_base_.warmup, cosine]
