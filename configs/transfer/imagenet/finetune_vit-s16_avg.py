# Patch tokens averaged, then a new norm, as in MAE's fine-tuning, instead of the class token
_base_ = './finetune_vit-s16.py'

model = dict(backbone=dict(out_type='avg_featmap', final_norm=False))
