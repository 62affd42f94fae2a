# From ViT-B/14 of DINOv2, whose mean and std are ImageNet's
_base_ = './mae_vit-b16.py'

model = dict(
    # Layer scale comes from the file.
    backbone=dict(patch_size=14, layer_scale_init_value=1.0),
    decoder=dict(num_patches=256, patch_size=14),  # 16 x 16 patches
    head=dict(patch_size=14))
