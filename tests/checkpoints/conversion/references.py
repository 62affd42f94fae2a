"""Networks of authors without a package, written afresh from their published architecture."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Self-attention with separate q, k and v (MAE-ST), or stacked without k bias (VideoMAE)."""

    def __init__(self, width: int, heads: int, stacked: bool) -> None:
        super().__init__()
        self.heads = heads
        if stacked:
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.q_bias, self.v_bias = (nn.Parameter(torch.zeros(width)) for _ in range(2))
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, 'qkv'):
            zero = torch.zeros_like(self.q_bias)
            q, k, v = F.linear(
                x, self.qkv.weight, torch.cat((self.q_bias, zero, self.v_bias))).chunk(3, dim=-1)
        else:
            q, k, v = self.q(x), self.k(x), self.v(x)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1]**0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm Transformer block."""

    def __init__(self, width: int, heads: int, hidden: int, stacked: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = Attention(width, heads, stacked)
        self.mlp = nn.ModuleDict(dict(fc1=nn.Linear(width, hidden), fc2=nn.Linear(hidden, width)))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(x))))


class VideoEncoder(nn.Module):
    """Encoder of MAE-ST, or of VideoMAE (``stacked``), for clips (N, 3, 4, 32, 32)."""

    def __init__(self, stacked: bool, width: int = 32, patch: int = 8) -> None:
        super().__init__()
        size = (2, patch, patch)
        self.patch_embed = nn.ModuleDict(dict(proj=nn.Conv3d(3, width, size, stride=size)))
        if not stacked:
            self.cls_token, self.pos_embed_class = (
                nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
            self.pos_embed_spatial = nn.Parameter(torch.zeros(1, 16, width))
            self.pos_embed_temporal = nn.Parameter(torch.zeros(1, 2, width))
        self.blocks = nn.ModuleList(Block(width, 2, 64, stacked) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, clips: Tensor) -> Tensor:
        """All tokens after the norm: class token first where there is one, then time first."""
        x = self.patch_embed['proj'](clips).flatten(2).transpose(1, 2)
        if hasattr(self, 'cls_token'):
            patches = [x[:, t * 16:(t + 1) * 16] + self.pos_embed_spatial
                       + self.pos_embed_temporal[:, t:t + 1] for t in range(2)]
            head = (self.cls_token + self.pos_embed_class).expand(len(x), -1, -1)
            x = torch.cat((head, *patches), dim=1)
        else:
            x = x + sinusoid(x.shape[1], x.shape[2]).to(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def sinusoid(positions: int, width: int) -> Tensor:
    """sin(p / 10000^(2i / width)) in channel 2i and the cosine in channel 2i + 1."""
    table = torch.zeros(positions, width, dtype=torch.float64)
    for position in range(positions):
        for pair in range(width // 2):
            angle = torch.tensor(position / 10000**(2 * pair / width), dtype=torch.float64)
            table[position, 2 * pair], table[position, 2 * pair + 1] = angle.sin(), angle.cos()
    return table.float()
