"""Whether encoder, decoder and head are made for the same patches."""
from typing import Any


def check_geometry(backbone: Any, decoder: Any, head: Any) -> None:
    """Compare the sizes that a config states once for each part.

    Args:
        backbone: A ``MAEViT``.
        decoder: A ``MAEPretrainDecoder``.
        head: A ``MAEPretrainHead``.

    Raises:
        ValueError: If they differ, with the setting to change.
    """
    patch = backbone.patch_embed.projection.kernel_size[0]
    for setting, is_now, should_be in (
        ('decoder.num_patches', decoder.num_patches, backbone.num_patches),
        ('decoder.embed_dim', decoder.decoder_embed.in_features, backbone.embed_dims),
        ('decoder.patch_size', round((decoder.decoder_pred.out_features / 3)**0.5), patch),
        ('head.patch_size', head.patch_size, patch),
    ):
        if is_now != should_be:
            raise ValueError(f'model.{setting}={is_now} does not fit the backbone '
                             f'({backbone.img_size[0]} px, patches of {patch} px, '
                             f'{backbone.embed_dims} wide): set it to {should_be}.')
