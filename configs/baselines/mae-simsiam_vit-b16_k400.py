# MAE + SimSiam on the class token (section 3.2, Tables 2 and 10)
_base_ = '../vicmae_vit-b16_k400.py'

model = dict(
    pooling=dict(mode='cls'),
    projector=dict(variant='simsiam'),
    contrast_head=dict(
        _delete_=True, type='vicmae_mm.SimSiamHead'))
