# MAE + VICReg with the predictor that section 4 names, on the online branch; its shape is SimSiam's
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(
    pooling=dict(mode='cls'),
    projector=dict(variant='vicreg', out_channels=1536),
    contrast_head=dict(
        _delete_=True,
        type='vicmae_mm.VICRegHead',
        predictor=dict(
            type='mmpretrain.NonLinearNeck',
            in_channels=1536,
            hid_channels=384,
            out_channels=1536,
            with_avg_pool=False,
            with_last_bn=False,
            with_last_bias=True,
            norm_cfg=dict(type='vicmae_mm.SyncBN1d'))))
