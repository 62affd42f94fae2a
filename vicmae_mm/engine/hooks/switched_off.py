"""What a run loses without a hook that its config switches off by ``default_hooks.NAME=None``."""

# By the names in our configs: the config does not say any more what the hook was.
LOSSES = dict(
    bad_videos='bad files are skipped without bad_videos.jsonl, in validation and tests too',
    checkpoint='no checkpoint is written, so the run cannot be continued',
    checkpoint_fit='a checkpoint of another model leaves random weights where it does not fit',
    class_count='wrong class names and labels are not noticed',
    collapse='no warning when embeddings collapse',
    contrast_weight="the contrast has the model's contrast_weight from the first step on",
    curves='no curves.png in the work dir',
    finite_loss='a loss or gradient that is NaN or infinite reaches the weights',
    gradient_coverage='parts of the backbone may stay untrained without a message',
    pretrained_fit='an encoder of which nothing was loaded trains from random weights',
    probe='no probes of the features, and no best checkpoint by them',
    reconstruction='no pictures of reconstructions',
    sample_independence='a backbone that mixes different samples is not noticed',
    step_seed='a resumed run draws other masks than one that was not interrupted')
