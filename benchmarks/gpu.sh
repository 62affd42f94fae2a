#!/usr/bin/env bash
# Check and time on one GPU, within 8 minutes, what a CPU cannot show: the tests marked gpu, the
# training step with both hooks at batches of 256 and 512, and a run of 100 steps.
#
#     bash benchmarks/gpu.sh OUT_FOLDER            # on a GPU, with packed frames that it generates
#     bash benchmarks/gpu.sh OUT_FOLDER --tiny     # the same commands with a tiny model, on a CPU
#
# OUT_FOLDER gets the output of each part; one that fails or takes too long does not stop the others.
set -euo pipefail
mkdir -p "${1:?usage: bash benchmarks/gpu.sh OUT_FOLDER [--tiny]}/clips"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
model='' steps=20 batches='256 512' batch=256 workers=$(($(nproc) - 1)) compile=''
if [ "${2:-}" = --tiny ]; then
    model="backbone=dict(arch=dict(_delete_=True, embed_dims=64, num_layers=2, num_heads=2,
        feedforward_channels=128)), projector=dict(in_channels=64), decoder=dict(embed_dim=64,
        decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2)"
    # a CPU may have no compiler
    steps=2 batches='2 4' batch=4 workers=1 compile=", backend='eager'"
fi
cat > "$out/config.py" <<END
_base_ = ['$PWD/configs/vicmae_vit-b16_k400-packed.py']
model = dict($model)
default_hooks = dict(compile=dict(type='vicmae_mm.CompileHook'$compile),
                     packed_attention=dict(type='vicmae_mm.PackedAttentionHook'))
train_dataloader = dict(batch_size=$batch, num_workers=$workers, dataset=dict(
    _delete_=True, type='mmengine.RepeatDataset', times=$batch,
    dataset=dict(_base_.train_dataloader.dataset, data_root='$out/packed')))
END

part() {  # NAME SECONDS COMMAND...
    local name=$1 limit=$2 begin=$SECONDS
    shift 2
    echo "== $name: $*"
    local status=0
    timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || status=$?
    echo "== $name: status $status after $((SECONDS - begin)) of at most $limit s, last lines:"
    tail -n 60 "$out/$name.txt"
}

part data 60 python - "$out" <<'END'
import sys
from pathlib import Path
from tests.helpers.packing import pack
from tests.helpers.videos import make_video
out = Path(sys.argv[1])
for number in range(32):
    make_video(out / 'clips' / f'{number}.mp4', num_frames=32, size=(340, 256))
pack(out / 'clips', out / 'packed', per_shard=8)
END
# shellcheck disable=SC2046,SC2086  # several words each
part tests 90 python -m pytest -q -W ignore -m gpu $(grep -rl 'mark\.gpu' tests)
# shellcheck disable=SC2086
part step 190 python benchmarks/run.py step "$out/config.py" \
    --batch-size $batches --steps "$steps" --profile
part loop 130 python benchmarks/run.py loop "$out/config.py" --epochs 4 --profile
