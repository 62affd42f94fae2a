# Features instead of pixels, which the conclusion of the paper suggests: MaskFeat's histograms of
# oriented gradients, 108 numbers per patch. mmpretrain's generator is for 14 x 14 patches of 16 px.
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(
    decoder=dict(predict_feature_dim=108),
    head=dict(
        _delete_=True,
        type='mmpretrain.MIMHead',
        loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(type='mmpretrain.HOGGenerator', nbins=9, pool=8, gaussian_window=16))
