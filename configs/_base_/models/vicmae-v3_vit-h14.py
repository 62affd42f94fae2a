_base_ = './vicmae-v3_vit-b16.py'

# 1280 wide, 32 deep, 16 heads; 16 x 16 patches
model = dict(
    backbone=dict(arch='h', patch_size=14),
    decoder=dict(num_patches=256, patch_size=14, embed_dim=1280),
    head=dict(patch_size=14),
    projector=dict(in_channels=1280))
