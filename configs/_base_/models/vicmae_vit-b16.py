# Section 3.3 and appendix A, with the decoder of MAE ("a small decoder").
model = dict(
    type='vicmae_mm.ViCMAE',
    backbone=dict(
        type='vicmae_mm.ViCMAEViT', arch='b', img_size=224, patch_size=16, mask_ratio=0.75),
    decoder=dict(
        type='vicmae_mm.MAEDecoder',
        num_patches=196,
        patch_size=16,
        embed_dim=768,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16),
    head=dict(
        type='mmpretrain.MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
    recon_frames='both',
    pooling=dict(type='vicmae_mm.TokenPooling', mode='mean'),
    projector=dict(type='vicmae_mm.Projector', in_channels=768),
    contrast_head=dict(type='vicmae_mm.InfoNCEHead', temperature=0.1),
    contrast_weight=0.025,
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
    ])
