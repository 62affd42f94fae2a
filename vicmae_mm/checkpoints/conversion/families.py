"""How to recognise each family of checkpoints, and how its names map to ours (mmpretrain's)."""
from __future__ import annotations

import re

from .rules import Family, Rule, rules

OURS = 'vicmae_mm'
NO_EMBED_CLASS = 'timm-no_embed_class'
# Parts of the prefixes under which files of trainers, parallel or compiled modules have a network,
# and names of its copies.
WRAPPER = re.compile(
    r'(module|_orig_mod|model|model_ema|ema|net|network|online|backbone|encoder|visual|trunk|'
    r'dinov2|dinov2_with_registers|'
    r'teacher|student|(base|momentum|target|online|context)_(encoder|backbone)|'
    r'encoder_[qk]|momentum_backbone|state_dict|state_dict_ema)\.')



def _layers(theirs: str, ours: str, qkv: str = 'qkv.*') -> tuple[Rule, ...]:
    """The layers of timm, which those of MAE's decoder are, too."""
    return rules(f'''
{theirs}.norm1.*      {ours}.ln1.*
{theirs}.attn.{qkv}   {ours}.attn.{qkv.replace('[q/k/v]', 'qkv')}
{theirs}.attn.proj.*  {ours}.attn.proj.*
{theirs}.norm2.*      {ours}.ln2.*
{theirs}.mlp.fc1.*    {ours}.ffn.layers.0.0.*
{theirs}.mlp.fc2.*    {ours}.ffn.layers.1.*
''')


VIT = rules('''
cls_token                      backbone.cls_token
pos_embed                      backbone.pos_embed
patch_embed.proj.weight        backbone.patch_embed.projection.weight
?patch_embed.proj.bias         backbone.patch_embed.projection.bias
?norm.*                        backbone.ln1.*
?fc_norm.*                     backbone.ln2.*
head.*                         head.fc.*
head.*                         head.layers.head.*
''') + _layers('blocks.{i}', 'backbone.layers.{i}')

# Layer scale of DINOv2 and DeiT III, and CLIP's norm before the layers.
TIMM = VIT + rules('''
?blocks.{i}.ls1.gamma          backbone.layers.{i}.attn.gamma1.weight
?blocks.{i}.ls2.gamma          backbone.layers.{i}.ffn.gamma2.weight
?norm_pre.*                    backbone.pre_norm.*
''')
TIMM_NO_EMBED_CLASS = rules('''
pos_embed[0,]                  backbone.pos_embed
?reg_token                     backbone.register_tokens
''') + TIMM
DINOV2 = TIMM + rules('''
?register_tokens               backbone.register_tokens
?mask_token                    -
''')

MAE_DECODER = rules('''
mask_token                     neck.mask_token
decoder_pos_embed              neck.decoder_pos_embed
decoder_embed.*                neck.decoder_embed.*
decoder_norm.*                 neck.ln1.*
decoder_pred.*                 neck.decoder_pred.*
''') + _layers('decoder_blocks.{i}', 'neck.decoder_blocks.{i}')

PROJECTOR = rules('''
projector.0.*                  projector.fc0.*
projector.1.(bn)               projector.bn0.(bn)
projector.3.*                  projector.fc1.*
projector.4.(bn)               projector.bn1.(bn)
projector.6.*                  projector.fc2.*
''')

# In a network for clips, the norm before the head is ln1 of the tokens or ln2 of their mean.
MAE_ST = rules('''
cls_token                      backbone.cls_token
pos_embed_[class,spatial]      backbone.pos_embed
pos_embed_temporal             backbone.temporal_embed
patch_embed.proj.*             backbone.patch_embed.projection.*
norm.*                         backbone.ln1.*
norm.*                         backbone.ln2.*
head.*                         cls_head.fc_cls.*
?mask_token                    -
?decoder_**                    -
''') + _layers('blocks.{i}', 'backbone.layers.{i}', '[q/k/v].*')

VIDEOMAE = rules('''
@patch_embed.proj.*                     backbone.patch_embed.projection.*
@blocks.{i}.attn.[q_bias/0/v_bias]      backbone.layers.{i}.attn.qkv.bias
?@norm.*                                backbone.ln1.*
?@fc_norm.*                             backbone.ln2.*
@head.*                                 cls_head.fc_cls.*
?mask_token                             -
?encoder_to_decoder.**                  -
?decoder.**                             -
''') + _layers('@blocks.{i}', 'backbone.layers.{i}', 'qkv.weight')

HF_LAYERS = '''
@encoder.layer.{i}.layernorm_before.*                        backbone.layers.{i}.ln1.*
@encoder.layer.{i}.attention.output.dense.*                  backbone.layers.{i}.attn.proj.*
@encoder.layer.{i}.layernorm_after.*                         backbone.layers.{i}.ln2.*
@encoder.layer.{i}.intermediate.dense.*                      backbone.layers.{i}.ffn.layers.0.0.*
@encoder.layer.{i}.output.dense.*                            backbone.layers.{i}.ffn.layers.1.*
'''
HF_QKV = '@encoder.layer.{i}.attention.attention.[query/key/value].* backbone.layers.{i}.attn.qkv.*'

_HF_ENCODER = '''
@embeddings.cls_token                                        backbone.cls_token
@embeddings.position_embeddings                              backbone.pos_embed
@embeddings.patch_embeddings.projection.*                    backbone.patch_embed.projection.*
@layernorm.*                                                 backbone.ln1.*
''' + HF_QKV + HF_LAYERS
HF_ENCODER = rules(_HF_ENCODER)
HF_DINOV2 = rules(
    _HF_ENCODER.replace('layernorm_before', 'norm1').replace('layernorm_after', 'norm2')
    .replace('intermediate.dense', 'mlp.fc1').replace('{i}.output.dense', '{i}.mlp.fc2') + '''\
@encoder.layer.{i}.layer_scale1.lambda1             backbone.layers.{i}.attn.gamma1.weight
@encoder.layer.{i}.layer_scale2.lambda1             backbone.layers.{i}.ffn.gamma2.weight
?@embeddings.register_tokens                        backbone.register_tokens
?@embeddings.mask_token                             -
''')

HF_HEAD = rules('''
classifier.*                                                 head.fc.*
classifier.*                                                 head.layers.head.*
?@pooler.dense.*                                             -
''')

HF_DECODER = rules('''
decoder.mask_token                             neck.mask_token
decoder.decoder_pos_embed                      neck.decoder_pos_embed
decoder.decoder_embed.*                        neck.decoder_embed.*
decoder.decoder_norm.*                         neck.ln1.*
decoder.decoder_pred.*                         neck.decoder_pred.*
''' + (HF_QKV + HF_LAYERS).replace('@encoder.layer', 'decoder.decoder_layers').replace(
    'backbone.layers', 'neck.decoder_blocks'))

_ATTENTION = '@encoder.layer.{i}.attention.attention'
HF_VIDEOMAE = rules(f'''
@embeddings.patch_embeddings.projection.*      backbone.patch_embed.projection.*
{_ATTENTION}.[query/key/value].weight          backbone.layers.{{i}}.attn.qkv.weight
{_ATTENTION}.[q_bias/0/v_bias]                 backbone.layers.{{i}}.attn.qkv.bias
{HF_LAYERS.strip()}
?@layernorm.*                                  backbone.ln1.*
?fc_norm.*                                     backbone.ln2.*
classifier.*                                   cls_head.fc_cls.*
?mask_token                                    -
?encoder_to_decoder.**                         -
?decoder.**                                    -
''')

# The names above are those in files. Modules of transformers 5 have other names in memory, and
# its save_pretrained writes the decoder layers of ViTMAE as decoder_encoder.layer.
HF_SPELLINGS = (
    (r'\bdecoder_encoder\.layer\.', 'decoder_layers.'),
    (r'^(vit\.)?layers\.', r'\1encoder.layer.'),
    (r'\.attention\.q_proj\.', '.attention.attention.query.'),
    (r'\.attention\.k_proj\.', '.attention.attention.key.'),
    (r'\.attention\.v_proj\.', '.attention.attention.value.'),
    (r'\.attention\.o_proj\.', '.attention.output.dense.'),
    (r'\.mlp\.fc1\.', '.intermediate.dense.'),
    (r'\.mlp\.fc2\.', '.output.dense.'),
)
HF_VIDEO_SPELLINGS = (
    (r'\.attention\.query\.bias$', '.attention.q_bias'),
    (r'\.attention\.value\.bias$', '.attention.v_bias'),
)

_OURS = r'^backbone\.layers\.0\.ln1'
_TIMM = r'^blocks\.0\.norm1'
_HF_LAYER = r'(^|^vit\.|^videomae\.)(encoder\.layer|layers)\.0\.attention\.'
_HF_PATCHES = r'(^|\.)embeddings\.patch_embeddings\.projection'


def _ours(description: str, *patterns: str) -> Family:
    return Family(description, (_OURS, *patterns), OURS, wrapper='state_dict')


# A checkpoint belongs to the first family whose patterns all match, so special ones come first.
FAMILIES: tuple[Family, ...] = (
    _ours('a ViC-MAE of this package', r'^neck\.decoder', r'^projector'),
    _ours('an MAE of this package or of mmpretrain', r'^neck\.decoder'),
    _ours('a contrastive ViT of this package', r'^projector'),
    _ours('a video Vision Transformer of this package',
          r'^(backbone\.temporal_embed|cls_head)'),
    _ours('a Vision Transformer of mmpretrain'),
    Family('a video Vision Transformer of mmaction2',
           (r'^backbone\.blocks\.0\.norm1', r'^backbone\.patch_embed\.projection')),
    Family("a ViC-MAE of the authors' own code",
           (_TIMM, r'^decoder_blocks\.', r'^projector\.0'),
           'official-vicmae', VIT + MAE_DECODER + PROJECTOR),
    Family('a video MAE (MAE-ST)', (_TIMM, r'^pos_embed_temporal'), 'mae_st', MAE_ST, dims=5),
    Family('an MAE of its authors', (_TIMM, r'^decoder_blocks\.'), 'mae', VIT + MAE_DECODER),
    Family('a BEiT', (r'^blocks\.0\.attn\.relative_position_bias_table', ),
           reason='ViCMAEViT has no relative positions'),
    Family('an EVA or a BEiT', (r'^blocks\.0\.attn\.q_bias', '^cls_token'),
           reason='ViCMAEViT has neither its positions nor its gated layers'),
    Family('a DINOv3 or another network with rotary positions',
           (r'^(blocks\.0\.(gamma_1|attn\.q_proj)|rope_embed|layer\.0\.attention\.q_proj)', ),
           reason='ViCMAEViT has no rotary positions'),
    Family('a VideoMAE of its authors', (r'^(encoder\.)?blocks\.0\.attn\.q_bias', ),
           'videomae', VIDEOMAE, dims=5, base_prefix='encoder.', fixed_positions=True),
    Family('a DINOv2 of its authors', (_TIMM, r'^blocks\.0\.ls1', r'^(mask|register)_token'),
           'dinov2', DINOV2, wrapper=None, resizing='dinov2'),
    Family('a Vision Transformer of timm whose class token has no position', (_TIMM, '^reg_token'),
           NO_EMBED_CLASS, TIMM_NO_EMBED_CLASS, wrapper=None, resizing='timm'),
    Family('a Vision Transformer of timm', (_TIMM, ), 'timm', TIMM, wrapper=None, resizing='timm'),
    Family('a Vision Transformer of torchvision', (r'^encoder\.layers\.encoder_layer_0\.', )),
    Family('an MAE of Hugging Face', (_HF_LAYER, r'^decoder\.decoder_embed'),
           'hf-vitmae', HF_ENCODER + HF_DECODER, wrapper=None, base_prefix='vit.',
           spellings=HF_SPELLINGS),
    Family('a DINOv2 of Hugging Face', (_HF_LAYER, r'\.layer_scale1'), 'hf-dinov2', HF_DINOV2,
           wrapper=None, spellings=HF_SPELLINGS[2:6]),
    Family('a Vision Transformer of Hugging Face',
           (_HF_LAYER, _HF_PATCHES, r'^(vit\.)?embeddings\.cls_token'),
           'hf-vit', HF_ENCODER + HF_HEAD, wrapper=None, base_prefix='vit.',
           spellings=HF_SPELLINGS),
    Family('a VideoMAE of Hugging Face', (_HF_LAYER, _HF_PATCHES),
           'hf-videomae', HF_VIDEOMAE, dims=5, wrapper=None, base_prefix='videomae.',
           fixed_positions=True, spellings=HF_VIDEO_SPELLINGS),
    Family('a Transformer of Hugging Face', (r'(^|\.)encoder\.layer\.0\.attention\.', )),
    Family('a ConvNeXt', (r'(^|\.)stages\.0\.(blocks\.0\.conv_dw|0\.depthwise_conv|0\.dwconv)', )),
    Family('a CLIP', (r'(^|\.)(transformer\.resblocks|encoder\.layers)\.0\.(ln_|self_a|layer_n)', ),
           reason="of CLIP, timm's files are converted; of SigLIP none, as it has no class token"),
    Family('a Swin Transformer', (r'(stages|layers)\.0\.blocks\.0\.', )),
    Family('a ResNet', (r'(^|\.)layer1\.0\.conv1', )),
)
CONVERTIBLE: dict[str, Family] = {family.name: family for family in FAMILIES if family.name}
