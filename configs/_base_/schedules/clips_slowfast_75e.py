# Fine-tuning on clips as PySlowFast's k400_VIT_B_16x4_FT (MAE-ST, the paper's [21])
_base_ = './clips_adamw_75e.py'

optim_wrapper = dict(
    # 6e-4 x shards, taking a shard as the 16 videos it is in the config for ViT-L
    optimizer=dict(lr=6e-4 * 128 / 16),
    paramwise_cfg=dict(layer_decay_rate=0.65, custom_keys=dict(_delete_=True)),
    clip_grad=dict(max_norm=5.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=70, eta_min_ratio=1e-5 / 6e-4, by_epoch=True, begin=5,
         end=75, convert_to_iter_based=True),
]
