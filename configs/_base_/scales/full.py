# The scale "full" of tools/reproduce.py: the configs as they are, with the evaluations of
# docs/transfer.md. Needs data/kinetics400 and data/imagenet, with the lists of its shares.
digits = False
pretraining = dict(settings={})
transfer = dict(settings={})
