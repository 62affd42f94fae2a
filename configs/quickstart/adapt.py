# ViC-MAE on clips, from the weights of start.py, with the settings of configs/adapt
_base_ = './vicmae.py'

title = 'adapted'
about = 'ViC-MAE on clips, from the weights of MAE on images.'
start = 'start'  # the recipe of the quickstart that makes load_from

epochs = 20
optim_wrapper = dict(
    constructor='vicmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.75))
default_hooks = dict(pretrained_fit=dict(allow_untrained=False))
