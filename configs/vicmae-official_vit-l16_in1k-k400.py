# The authors' ViT-L/16: 4096 pairs = 32 GPUs x 128
_base_ = './vicmae-official_vit-b16_in1k-k400.py'

model = dict(
    backbone=dict(arch='l'), decoder=dict(embed_dim=1024), projector=dict(in_channels=1024))
train_dataloader = dict(batch_size=128)
