# A small network for small images: that of the quickstart and the notebooks.
size, patch, width = 32, 4, 96

model = dict(
    type='vicmae_mm.ViCMAE',
    backbone=dict(
        type='vicmae_mm.ViCMAEViT',
        arch=dict(embed_dims=width, num_layers=3, num_heads=4, feedforward_channels=4 * width),
        img_size=size,
        patch_size=patch,
        # Half, as in the authors' later recipe. With 0.75 a digit of 8 x 8 pixels is left with
        # too little for the contrast to get started in so few steps.
        mask_ratio=0.5),
    decoder=dict(
        type='vicmae_mm.MAEDecoder',
        num_patches=(size // patch)**2,
        patch_size=patch,
        embed_dim=width,
        decoder_embed_dim=64,
        decoder_depth=1,
        decoder_num_heads=4),
    head=dict(
        type='mmpretrain.MAEPretrainHead',
        norm_pix=True,
        patch_size=patch,
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
    pooling=dict(type='vicmae_mm.TokenPooling', mode='mean'),
    projector=dict(type='vicmae_mm.Projector', in_channels=width),
    contrast_head=dict(type='vicmae_mm.InfoNCEHead', temperature=0.1),
    # 0.025 in the paper: there it refines what 200 epochs of reconstruction have learnt.
    contrast_weight=1.0,
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
    ])
