# From the image encoder of OpenAI's CLIP, ViT-B/16, in timm's format
# (vit_base_patch16_clip_quickgelu_224.openai). CLIPs of other authors may need
# act_cfg=dict(type='GELU'): the file does not show which.
_base_ = './mae_vit-b16.py'

data_preprocessor = dict(  # CLIP's own
    mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
model = dict(
    backbone=dict(
        pre_norm=True,
        norm_cfg=dict(type='LN', eps=1e-5),
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU'))))
