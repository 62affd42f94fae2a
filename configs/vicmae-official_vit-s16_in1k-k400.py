# The authors' ViT-S/16, with its narrower decoder
_base_ = './vicmae-official_vit-b16_in1k-k400.py'

model = dict(
    backbone=dict(arch='deit-s'),  # 384 wide, 12 deep, 6 heads
    decoder=dict(embed_dim=384, decoder_embed_dim=256, decoder_num_heads=8),
    projector=dict(in_channels=384))
