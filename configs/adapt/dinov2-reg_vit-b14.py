# From ViT-B/14 of DINOv2 with four registers
_base_ = './dinov2_vit-b14.py'

model = dict(backbone=dict(num_registers=4))
