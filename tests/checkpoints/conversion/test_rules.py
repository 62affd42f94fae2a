"""What the marks in a table of names mean."""
from vicmae_mm.checkpoints.conversion.families import FAMILIES
from vicmae_mm.checkpoints.conversion.rules import Packing, rules


def test_suffixes():
    assert [(rule.theirs, rule.ours) for rule in rules('norm.* ln1.*')] == [
        (('norm.weight', ), 'ln1.weight'), (('norm.bias', ), 'ln1.bias')]
    assert [rule.ours for rule in rules('p.1.(bn) bn.(bn)')] == [
        f'bn.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var',
                                  'num_batches_tracked')]


def test_layers():
    (rule, ) = rules('blocks.{i}.a layers.{i}.b')
    assert rule.layered and rule.part == 'layers'
    assert rule.match('blocks.12.a') == (0, 12) and rule.match_ours('layers.3.b') == 3
    assert not any(map(rule.match, ('blocks.x.a', 'blocks.1.a.c', 'blocks,1,a')))
    assert rule.match('x.blocks.1.a') is rule.match_ours('blocks.1.a') is None


def test_brackets():
    (stacked, ) = rules('attn.[q/0/v].bias qkv.bias')
    assert stacked.theirs == ('attn.q.bias', None, 'attn.v.bias')
    assert stacked.packing is Packing.STACKED
    assert stacked.match('attn.v.bias') == (2, 0) and stacked.match('attn.0.bias') is None
    (rows, ) = rules('pos_[class,spatial] pos_embed')
    assert rows.theirs == ('pos_class', 'pos_spatial') and rows.packing is Packing.ROWS


def test_prefix_nothing_and_absent():
    (rule, ) = rules('?@pooler.** -')
    assert rule.optional and rule.ours is None and rule.part == '-'
    assert rule.match('pooler.dense.bias') == rule.match('@pooler.dense.bias') == (0, 0)
    assert rule.match_ours('pooler.dense.bias') is None
    (bare, ) = rules('head.w head.w')
    assert not bare.optional and bare.match('@head.w') is None


def test_tables_name_only_modules_that_are_here():
    parts = {rule.part for family in FAMILIES for rule in family.rules}
    assert parts == {'backbone', 'neck', 'projector', 'head', 'cls_head', '-'}
