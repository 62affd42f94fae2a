"""BatchNorm1d over the batch of all processes, on any backend."""
import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.models.precision import at_least_fp32
from vicmae_mm.registry import MODELS


@MODELS.register_module()
class SyncBN1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` whose training statistics come from all processes.

    torch's ``SyncBatchNorm`` refuses CPU tensors; this one runs wherever all-gather does (gloo,
    nccl). On several processes the output, every gradient and the running statistics equal those
    of one process with the concatenated batch. Statistics are at least fp32, also under autocast.
    Arguments, shapes, errors and state dict are those of ``nn.BatchNorm1d``. Use it by
    ``norm_cfg=dict(type='vicmae_mm.SyncBN1d')``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, L); the output has the same shape and dtype."""
        # No communication, so that one rank may evaluate alone.
        if not self.training or get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        with torch.autocast(input.device.type, enabled=False):
            x = at_least_fp32(input)
            mean, var, count = self._global_statistics(x)
            self._update_running_statistics(mean, var, count)
            per_channel = (1, -1) + (1, ) * (x.dim() - 2)
            scale = torch.rsqrt(var + self.eps)
            out = (x - mean.view(per_channel)) * scale.view(per_channel)
            if self.affine:
                out = out * self.weight.view(per_channel) + self.bias.view(per_channel)
        return out.to(input.dtype)

    def _global_statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (C,), biased variance (C,) and number of values per channel, over all processes."""
        x = x.transpose(0, 1).flatten(1)
        # Means and sums of squared deviations can be combined without the cancellation of
        # E[x^2] - E[x]^2. The number of rows is sent too: it may differ between processes.
        mean = x.mean(1)
        deviation = (x - mean[:, None]).square().sum(1)
        local = torch.cat([mean, deviation, mean.new_full((1, ), x.shape[1])])
        # The gradient passes through the gather: every row affects the outputs of all processes.
        gathered = gather_with_grad(local[None])
        means, deviations, counts = gathered.split([len(mean), len(mean), 1], dim=1)
        count = counts.sum()
        total_mean = (means * counts).sum(0) / count
        spread = (means - total_mean).square() * counts
        return total_mean, (deviations + spread).sum(0) / count, count

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        if (self.running_mean is None or self.running_var is None
                or self.num_batches_tracked is None):  # track_running_stats=False
            return
        self.num_batches_tracked.add_(1)
        # As in torch, momentum=None means a cumulative average.
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = var * count / (count - 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
